"""Small files that users write come as editors of all systems save them."""

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pairmill.captioners.prompt_files import read_wording
from pairmill.errors import PairmillError, RunError, StageBroken
from pairmill.filters.classify import read_lines
from pairmill.filters.concept_list import read_concepts
from pairmill.plan.yaml_file import read_document
from pairmill.sources.base import NoInput, Unreadable
from pairmill.sources.catalogue import open_source
from pairmill.sources.tables import PairsConfig
from pairmill.stages.download.blocklists import HashList, UrlList
from pairmill.stages.select.queries import BadQueries, read_queries
from pairmill.texts.files import decoded, lines_in

MARKED = codecs.BOM_UTF8
AS_SAVED: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "Windows": lambda text: MARKED + text.replace("\n", "\r\n").encode(),
    "old Mac": lambda text: text.replace("\n", "\r").encode(),
    "blank lines": lambda text: f"\n \n{text}\n\t\n".replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "UTF-32": lambda text: codecs.BOM_UTF32_BE + text.encode("utf-32-be"),
    "two files joined": lambda text: MARKED + (text + "\n").encode() + MARKED,
}
HASH = "0123456789abcdef" * 4


def queries(kind: str) -> Callable[[Path], Any]:
    def read(file: Path) -> list[Any]:
        named = file.with_suffix(kind)
        named.write_bytes(file.read_bytes())
        return [query.value for query in read_queries({"set": str(named)}, None)]

    return read


def inputs(file: Path) -> list[str]:
    """The files that a list of input files names."""
    (file.parent / "a.csv").write_text("text,url\nx,http://a.test/1\n")
    (file.parent / "b.csv").write_text("text,url\nx,http://a.test/2\n")
    listed = file.with_suffix(".txt")
    listed.write_bytes(file.read_bytes())
    source = open_source(PairsConfig(path=str(listed)))
    return [Path(item.name).name for item in source.listing().files]


READERS: dict[str, tuple[str, Callable[[Path], Any], Any]] = {
    "classify's concepts": (
        "straße\nred car\nstraße",
        lambda file: read_lines("classify", str(file)),
        ["straße", "red car"],
    ),
    "concepts": (
        "car\tauto\nbus",
        lambda file: dict(read_concepts("concepts", str(file))),
        {"car": ["auto"], "bus": []},
    ),
    "retrieve's texts": ("straße\n red car", queries(".txt"), ["straße", "red car"]),
    "retrieve's CSV": ('"text",n\n"red car",1', queries(".csv"), ["red car"]),
    "retrieve's TSV": ("text\tn\nred car\t1", queries(".tsv"), ["red car"]),
    "retrieve's JSON lines": ('{"text": "red car"}\n{"text": "x"}', queries(".jsonl"),
                              ["red car", "x"]),
    "addresses": (
        "bad.test\nhttp://a.test/1.jpg",
        lambda file: [
            set(getattr(UrlList.read(str(file)), name)) for name in ("domains", "urls")
        ],
        [{"bad.test"}, {"http://a.test/1.jpg"}],
    ),
    "hashes": (
        f"# known\n{HASH}",
        lambda file: set(HashList.read(str(file)).sha256),
        {HASH},
    ),
    "input files": ("a.csv\nb.csv", inputs, ["a.csv", "b.csv"]),
}  # fmt: skip


TABLES = ("retrieve's CSV", "retrieve's TSV", "retrieve's JSON lines")
"""No program saves these with CR alone, or joined; a table begins with its head."""
SAVED = [
    (name, how)
    for name in READERS
    for how in AS_SAVED
    if name not in TABLES or how in ("plain", "Windows", "UTF-16", "UTF-32")
]


@pytest.mark.parametrize(("name", "how"), SAVED)
def test_a_list_is_read_however_it_was_saved(name: str, how: str, tmp_path: Path) -> None:
    text, read, expected = READERS[name]
    (tmp_path / "file").write_bytes(AS_SAVED[how](text))
    assert read(tmp_path / "file") == expected


@pytest.mark.parametrize("how", ["plain", "Windows", "UTF-16"])
def test_prompts_and_concepts_in_json_too(how: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(AS_SAVED[how](json.dumps({"car": ["auto"], "bus": []})))
    assert read_concepts("concepts", str(tmp_path / "c.json")) == {"car": ["auto"], "bus": []}
    (tmp_path / "p.txt").write_bytes(AS_SAVED[how]("Say\nit.\n"))
    assert read_wording(str(tmp_path / "p.txt")) == {"prompt": "Say\nit."}


def test_a_pipeline_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(AS_SAVED["Windows"]("name: x\nseed: 1\n"))
    assert read_document(tmp_path / "p.yaml").data["name"] == "x"


@pytest.mark.parametrize("data", [b"caf\xe9\n", b"ok\nc\0a\0f\0", codecs.BOM_UTF16_LE + b"a\0b"])
def test_what_is_no_text_is_named_with_its_file(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(data)
    path = str(file)
    readers: list[tuple[type[PairmillError], Callable[[], Any]]] = [
        (StageBroken, lambda: read_lines("classify", path)),
        (StageBroken, lambda: read_concepts("concepts", path)),
        (BadQueries, lambda: read_queries({"set": path}, None)),
        (RunError, lambda: UrlList.read(path)),
        (NoInput, lambda: open_source(PairsConfig(path=path)).listing()),
    ]
    for error, read in readers:
        with pytest.raises(error, match=r"list\.txt.*(UTF-8|UTF-16)"):
            read()


def test_concepts_that_are_no_json_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('["car",]')
    with pytest.raises(StageBroken, match=r"c\.json cannot be read: .*line 1"):
        read_concepts("concepts", str(tmp_path / "c.json"))


def test_lines_have_their_numbers_and_only_line_ends_part_them() -> None:
    data = MARKED + "a\u2028b\x85c\n\n d \r\ne\rf".encode()
    assert list(lines_in(data)) == [(1, "a\u2028b\x85c"), (3, " d "), (4, "e"), (5, "f")]
    assert decoded(b"") == ""
    with pytest.raises(ValueError, match="line 3: the byte 0xff is no UTF-8"):
        decoded(b"a\nb\nc\xff")


def test_lines_of_json_files_that_were_put_behind_one_another(tmp_path: Path) -> None:
    lines = [MARKED + f'{{"url": "http://a.test/{i}", "text": "t{i}"}}\n'.encode() for i in (1, 2)]
    others = [b"null\n", b"true\n", b"1.5\n", b'"x"\n', b"[]\n"]
    (tmp_path / "in.jsonl").write_bytes(b"".join([*lines, *others]))
    parts = list(open_source(PairsConfig(type="pairs", path=str(tmp_path / "in.jsonl"))).read())
    rows = [row for part in parts if isinstance(part, pa.Table) for row in part.to_pylist()]
    assert [row["text"] for row in rows] == ["t1", "t2"]
    told = [part.reason for part in parts if isinstance(part, Unreadable)]
    assert told == [
        f"no JSON object: {what}, not an object"
        for what in ("null", "true or false", "a number", "a text", "a list")
    ]
