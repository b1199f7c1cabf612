"""`pairmill init`: a first pipeline file for an input, which validates and runs."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.plan.proposal import NoProposal, opened, propose
from tests.conftest import jpeg, typed

ADDRESSES = [f"http://pictures.test/{i}.jpg" for i in range(4)]
WORDS = [f"A red ball beside {i} trees" for i in range(4)]


def picture(i: int) -> bytes:
    return jpeg(Image.new("RGB", (300, 260), (40 * i, 200, 90)))


def with_semicolons(folder: Path) -> None:
    lines = [f"{url};{text}\n" for url, text in zip(ADDRESSES, WORDS, strict=True)]
    (folder / "in.csv").write_text("picture;words\n" + "".join(lines))


def within_objects(folder: Path) -> None:
    rows = [{"image": {"url": u, "w": 3}, "alt": t} for u, t in zip(ADDRESSES, WORDS, strict=True)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def deep_within_objects(folder: Path) -> None:
    """Names that nobody knows, two levels deep, with texts in two languages."""
    rows = [
        {
            "n": i,
            "media": {"src": url, "page": f"https://pages.test/{i}"},
            "captions": {"short": "ball", "long": {"en": text, "de": "Ball"}},
        }
        for i, (url, text) in enumerate(zip(ADDRESSES, WORDS, strict=True))
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def lists_of_captions(folder: Path) -> None:
    rows = [{"url": u, "captions": [t, "a ball"]} for u, t in zip(ADDRESSES, WORDS, strict=True)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def with_more_semicolons(folder: Path) -> None:
    """Header and rows are not taken apart by commas, and each row then begins with an address."""
    lines = [f'{url};{text};"0;99"\n' for url, text in zip(ADDRESSES, WORDS, strict=True)]
    (folder / "in.csv").write_text("Bild;Alt-Text / Titel;Preis\n" + "".join(lines))


def with_a_name_twice(folder: Path) -> None:
    lines = [f"{url},{text},x\n" for url, text in zip(ADDRESSES, WORDS, strict=True)]
    (folder / "in.csv").write_text("url,text,text\n" + "".join(lines))


def unknown_text(folder: Path) -> None:
    """Bytes under a name of their own, and a text whose name says nothing, beside hashes."""
    columns = {
        "jpg": [picture(i) for i in range(4)],
        "hash": [f"{i:064d}" for i in range(4)],
        "beschrieben": WORDS,
    }
    pq.write_table(pa.table(columns), folder / "in.parquet")


def without_header(folder: Path) -> None:
    lines = [f"{text}\t{url}\n" for url, text in zip(ADDRESSES, WORDS, strict=True)]
    (folder / "in.tsv").write_text("".join(lines))


def with_images(folder: Path) -> None:
    images = [picture(i) for i in range(4)]
    pq.write_table(pa.table({"image": images, "caption": WORDS}), folder / "in.parquet")


def naming_files(folder: Path) -> None:
    (folder / "img").mkdir()
    for i in range(4):
        (folder / f"img/{i}.jpg").write_bytes(picture(i))
    lines = [f"{i}.jpg;{text};{2000 + i}\n" for i, text in enumerate(WORDS)]
    (folder / "in.csv").write_text("Datei;Beschreibung;Jahr\n" + "".join(lines))


def folder_of_images(folder: Path) -> None:
    (folder / "in").mkdir()
    for i, text in enumerate(WORDS):
        (folder / "in" / f"{i}.jpg").write_bytes(picture(i))
        (folder / "in" / f"{i}.txt").write_text(text)


def naming_other_files_too(folder: Path) -> None:
    """One row names a file of another place, and the first a picture that is not there."""
    naming_files(folder)
    head, *rows = (folder / "in.csv").read_text().splitlines()
    strays = ["gone.jpg;A lost picture of trees;1999", "/etc/hosts.png;A stray name;1999"]
    (folder / "in.csv").write_text("\n".join([head, *strays, *rows]))


def with_boxes(folder: Path) -> None:
    """COCO's instances, which have no texts."""
    naming_files(folder)
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)]
    boxes = [{"id": i, "image_id": i // 2, "bbox": [0, 0, 1, 1]} for i in range(8)]
    (folder / "in.json").write_text(json.dumps({"images": images, "annotations": boxes}))


@pytest.mark.parametrize(
    ("make", "name", "source"),
    [
        (with_semicolons, "in.csv", {"delimiter": ";", "columns": {"url": "picture", "text": "words"}}),
        (within_objects, "in.jsonl", {"columns": {"url": "image.url", "image_facts": "image"}}),
        (with_more_semicolons, "in.csv", {"delimiter": ";", "columns": {"url": "Bild", "text": "Alt-Text / Titel"}}),
        (with_a_name_twice, "in.csv", {"names": ["url", "text", "text_2"], "header": True}),
        (deep_within_objects, "in.jsonl", {"columns": {"url": "media.src", "text": "captions.long.en"}}),
        (lists_of_captions, "in.jsonl", {"columns": {"text": "captions"}, "captions": "first"}),
        (unknown_text, "in.parquet", {"type": "parquet", "columns": {"text": "beschrieben"}}),
        (without_header, "in.tsv", {"header": False}),
        (with_images, "in.parquet", {"type": "parquet"}),
        (folder_of_images, "in", {"type": "folder"}),
        (naming_files, "in.csv", {"image": "Datei", "columns": {"text": "Beschreibung"}}),
        (naming_other_files_too, "in.csv", {"image": "Datei"}),
        (with_boxes, "in.json", {"image": "file_name", "columns": {}}),
    ],
)  # fmt: skip
def test_first_pipeline_for_an_input_validates_and_runs_where_images_are_at_hand(
    tmp_path: Path,
    make: Callable[[Path], None],
    name: str,
    source: dict[str, object],
) -> None:
    make(tmp_path)
    file = tmp_path / "first.yaml"
    made = CliRunner().invoke(app, ["init", str(file), "--from", str(tmp_path / name)])
    assert made.exit_code == 0, made.output
    checked = CliRunner().invoke(app, ["validate", str(file)])
    assert checked.exit_code == 0, checked.output
    pipeline = Pipeline.from_yaml(file)
    assert {k: getattr(pipeline.config.source, k) for k in source} == source
    if source.get("type") or source.get("image"):
        assert pipeline.run(local=True, progress=False).funnel.kept == 4


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("in.csv", b"", ["in.csv: the file is empty"]),
        ("in.csv", b"url,text\n", ["no row can be read"]),
        ("in.csv", picture(0), ["cannot be read"]),
        ("in.jpg", picture(0), ["is one picture; give the folder"]),
        ("in.docx", b"PK", ["unknown format"]),
    ],
)
def test_reason_why_there_is_no_proposal_is_told_once_and_short(
    tmp_path: Path, name: str, content: bytes, told: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NoProposal) as caught:
        propose(str(tmp_path / name))
    lines = str(caught.value).split("\n")
    assert len(lines) <= 4
    assert len({line.partition(": ")[2] for line in lines}) == len(lines)
    assert max(map(len, lines)) < 500
    for part in told:
        assert any(part in line for line in lines), lines


def test_files_of_a_folder_that_the_proposal_does_not_read_are_told(tmp_path: Path) -> None:
    with_images(tmp_path)
    (tmp_path / "more.csv").write_text("url,text\nhttp://a.test/1.jpg,a ball\n")
    assert propose(str(tmp_path)).left_out == ["not read: more.csv (another format)"]


@pytest.mark.slow
def test_input_without_addresses_is_told_and_no_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("name,size\nball,3\ncube,4\n")
    made = typed("init", "first.yaml", "--from", "in.csv", cwd=tmp_path)
    assert made.returncode == 2
    assert "no column holds addresses" in made.stderr
    assert not (tmp_path / "first.yaml").exists()
    (tmp_path / "first.yaml").write_text("mine")
    assert typed("init", "first.yaml", "--from", "in.csv", cwd=tmp_path).returncode == 2
    assert (tmp_path / "first.yaml").read_text() == "mine"


def test_table_beside_pictures_is_named_for_another_try(tmp_path: Path) -> None:
    """COCO's layout: the captions lie in a JSON file beside the folder of pictures."""
    (tmp_path / "val").mkdir()
    for i in (1, 2):
        (tmp_path / f"val/{i}.jpg").write_bytes(picture(i))
        (tmp_path / f"val/{i}.json").write_text("{}")
    (tmp_path / "captions.json").write_text('{"images": [], "annotations": []}')
    said = propose(str(tmp_path)).left_out
    table = tmp_path / "captions.json"
    assert [line for line in said if "init" in line] == [
        f"if {table} describes the pictures: pairmill init --from {table}"
    ]


def test_a_plain_list_of_addresses_is_a_table_of_one_column(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://a.test/1.jpg?a=1,2\nhttps://a.test/2.jpg\n")
    assert typed("init", "--from", "list.txt", cwd=tmp_path).returncode == 0
    found = Pipeline.from_yaml(tmp_path / "pipeline.yaml").checked.source
    parts = [part for part in found.read() if isinstance(part, pa.Table)]
    assert parts[0].column("url").to_pylist() == [
        "https://a.test/1.jpg?a=1,2",
        "https://a.test/2.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.csv", b"", "in.csv: the file is empty"),
        ("in.csv", b"url,text\n", "nothing below the names of columns (url, text)"),
        (
            "in.xlsx",
            b"PK\x03\x04" + bytes(200),
            "(or .xlsx, .npz); unpack it, or save the sheet as CSV",
        ),
        ("in.html", b"<html><body>hello</body></html>", "it is a web page or XML"),
        ("in.warc.gz", gzip.compress(b"WARC/1.0\r\nWARC-Type: warcinfo\r\n"), "a crawl's WARC"),
        ("in.npy", b"\x93NUMPY\x01\x00", "a NumPy array"),
        ("in.pkl", b"\x80\x04K\x01.", "a Python pickle, which is never read"),
        ("in.xml", b"<?xml version='1.0'?><a/>", "a web page or XML"),
    ],
)
def test_what_an_input_is_instead_is_told_in_one_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NoProposal) as raised:
        propose(str(tmp_path / name))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("encoding", "text", "seen"),
    [
        ("cp1252", "Café “am” Ring – 5 €", "Café"),
        ("cp1251", "собака в парке", "ñîáàêà, â, ïàðêå"),
    ],
)
def test_guessed_encoding_is_told_with_words_to_judge_it_by(
    tmp_path: Path, encoding: str, text: str, seen: str
) -> None:
    lines = "".join(f"{url},{text}\n" for url in ADDRESSES)
    (tmp_path / "in.csv").write_bytes(f"url,text\n{lines}".encode(encoding))
    proposal = propose(str(tmp_path / "in.csv"))
    assert proposal.keys["encoding"] == "cp1252"
    (told,) = proposal.left_out
    assert f"read as cp1252, in which it has words such as {seen}; if these look wrong" in told
    source = opened(proposal.keys)
    (rows,) = [part for part in source.read() if isinstance(part, pa.Table)]
    assert (rows["text"].to_pylist() == [text] * 4) == (encoding == "cp1252")


def test_table_in_utf8_says_nothing_of_letters(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"url,text\n{ADDRESSES[0]},ein grünes Haus\n", "utf-8")
    assert propose(str(tmp_path / "in.csv")).left_out == []
