"""`pairmill init` on layouts of published sets: pictures within tables, names of files, odd formats."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.api import Pipeline
from pairmill.plan.proposal import NoProposal, propose
from tests.conftest import typed
from tests.test_init import ADDRESSES, WORDS, naming_files, picture


def in_base64(folder: Path) -> None:
    lines = [f"{i}\t{b64encode(picture(i)).decode()}\t{text}\n" for i, text in enumerate(WORDS)]
    (folder / "in.tsv").write_text("".join(lines))


def as_data_addresses(folder: Path) -> None:
    data = [f"data:image/jpeg;base64,{b64encode(picture(i)).decode()}" for i in range(4)]
    rows = [{"image": d, "caption": t} for d, t in zip(data, WORDS, strict=True)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def naming_files_as_image(folder: Path) -> None:
    """LLaVA's layout, and Flickr8k's: a column `image` without a single address."""
    naming_files(folder)
    (folder / "in.csv").write_text(
        "image,caption\n" + "".join(f"img/{i}.jpg,{text}\n" for i, text in enumerate(WORDS))
    )


def with_numbers_of_captions(folder: Path) -> None:
    """Flickr30k's layout."""
    naming_files(folder)
    (folder / "in.token").write_text(
        "".join(f"{i}.jpg#{i + 1}\t{text}\n" for i, text in enumerate(WORDS))
    )


def saved_to_disk(folder: Path) -> None:
    images = [{"bytes": picture(i), "path": None} for i in range(4)]
    table = pa.table({"image": images, "caption": [[text, "a ball"] for text in WORDS]})
    (folder / "in").mkdir()
    with pa.ipc.new_stream(folder / "in/data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("make", "name", "source"),
    [
        (in_base64, "in.tsv", {"header": False, "image": "column_2"}),
        (as_data_addresses, "in.jsonl", {"image": "image"}),
        (naming_files_as_image, "in.csv", {"image": "image"}),
        (with_numbers_of_captions, "in.token", {"image": "column_1", "format": "tsv"}),
        (saved_to_disk, "in", {"type": "arrow", "captions": "first"}),
    ],
)
def test_pictures_that_lie_in_a_table_or_beside_it_are_taken_for_what_they_are(
    tmp_path: Path, make: Callable[[Path], None], name: str, source: dict[str, object]
) -> None:
    make(tmp_path)
    file = tmp_path / "first.yaml"
    assert typed("init", str(file), "--from", str(tmp_path / name), cwd=tmp_path).returncode == 0
    pipeline = Pipeline.from_yaml(file)
    assert {k: getattr(pipeline.config.source, k) for k in source} == source
    parts = [part for part in pipeline.checked.source.read() if isinstance(part, pa.Table)]
    rows = pa.concat_tables(parts)
    assert rows.column("text").to_pylist() == WORDS
    assert rows.column("width").to_pylist() == [300] * 4
    files = rows.column("image_file").to_pylist() if "image_file" in rows.schema.names else []
    assert not any(str(name).endswith("=") or "base64" in str(name) for name in files)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("in.csv", f"url,text,caption\n{ADDRESSES[0]},{WORDS[0]},{WORDS[1]}\n"),
        ("in.jsonl", json.dumps({"url": ADDRESSES[0], "caption": WORDS[:2]}) + "\n"),
    ],
)
def test_a_further_column_by_the_name_of_a_packages_text_is_no_fault(
    tmp_path: Path, name: str, line: str
) -> None:
    (tmp_path / name).write_text(line)
    assert typed("init", "--from", name, cwd=tmp_path).returncode == 0
    found = Pipeline.from_yaml(tmp_path / "pipeline.yaml").checked.source
    (rows,) = [part for part in found.read() if isinstance(part, pa.Table)]
    assert rows.column("text").to_pylist() == WORDS[:1]
    assert rows.column("given_caption").to_pylist() in ([WORDS[1]], [WORDS[:2]])


def test_pictures_without_texts_get_the_name_of_their_class_or_none(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        (tmp_path / "in" / kind / "1.jpg").write_bytes(picture(3))
    typed("init", "classes.yaml", "--from", "in", cwd=tmp_path)
    typed("init", "none.yaml", "--from", "in/cat", cwd=tmp_path)
    found = [Pipeline.from_yaml(tmp_path / f"{n}.yaml") for n in ("classes", "none")]
    assert [pipeline.config.outputs[0].caption for pipeline in found] == ["label", "''"]


@pytest.mark.parametrize("path", ["-", "/dev/null"])
def test_what_can_be_read_once_alone_is_told(path: str) -> None:
    with pytest.raises(NoProposal, match="write it to a file"):
        propose(path)


def test_a_column_of_both_addresses_and_files_is_told(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "http://a.test/c.png"]
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    for ours in (names, [*names, *names[2:] * 3]):
        rows = "".join(f"{name},text of {i}\n" for i, name in enumerate(ours))
        (tmp_path / "in.csv").write_text("image,text\n" + rows)
        told = propose(str(tmp_path / "in.csv")).mapping
        assert [line for line in told if "image mixes addresses" in line]
    (tmp_path / "in.csv").write_text("image,text\na.png,http://a.test/page\nb.png,two words\n")
    assert not [line for line in propose(str(tmp_path / "in.csv")).mapping if "mixes" in line]
