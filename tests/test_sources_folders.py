"""Images on disk: texts beside them, metadata files, classes; Arrow folders of `datasets`."""

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pairmill.sources.base import NoInput
from pairmill.sources.folder import FolderConfig, FolderSource
from pairmill.sources.table_config import ArrowConfig, ParquetConfig
from pairmill.sources.tables import TableSource
from tests.inputs import Given, given_by, mask, picture, write_files


def read(path: Path, **keys: Any) -> Given:
    return given_by(FolderSource(FolderConfig(path=str(path), **keys)))


def test_texts_and_facts_beside_images(tmp_path: Path) -> None:
    files = {
        "a/0.jpg": picture(0), "a/0.txt": "zero", "a/0.json": '{"n": 1, "caption": "zero"}',
        "a/0.mask.png": mask(), "b.v2.JPG": picture(1), "b.v2.txt": "dots", "c.png": picture(2),
        "alone.txt": "x", "README.md": "x", "._c.png": "x", ".hidden/d.jpg": picture(3),
        "a/notes.docx": "x",
    }  # fmt: skip
    rows, bad, remarks = read(write_files(tmp_path / "in", files))
    assert bad == []
    assert rows.select("source", "text", "n", "image", "mask_png").rows() == [
        ("a/0.jpg", "zero", 1, picture(0), mask()),
        ("b.v2.JPG", "dots", None, picture(1), None),
        ("c.png", None, None, picture(2), None),
    ]
    skipped = {r.location for r in remarks if r.kind == "skipped files"}
    assert skipped == {"README.md", "._c.png", ".hidden/d.jpg", "a/notes.docx"}
    assert [r.count for r in remarks if r.kind == "skipped members"] == [1]


METADATA = [{"file_name": f"{i}.png", "text": f"text {i}", "score": i / 2} for i in (0, 1, 7)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_imagefolder_joins_its_metadata(tmp_path: Path, kind: str) -> None:
    import polars as pl

    folder = write_files(tmp_path / "in", {f"train/{i}.png": picture(i) for i in range(3)})
    frame, file = pl.DataFrame(METADATA), folder / f"train/metadata.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in METADATA) + "{broken\n")
    else:
        frame.write_csv(file) if kind == "csv" else frame.write_parquet(file)
    rows, bad, remarks = read(folder)
    assert rows.select("source", "text", "score", "split").rows() == [
        ("train/0.png", "text 0", 0.0, "train"),
        ("train/1.png", "text 1", 0.5, "train"),
        ("train/2.png", None, None, "train"),
    ]
    assert bad[0].location == f"train/metadata.{kind} row 2"
    assert bad[0].reason == "there is no image 7.png"
    assert len(bad) == 1 + (kind == "jsonl")
    assert [(r.kind, r.count) for r in remarks] == [("images without metadata", 1)]


def test_folders_of_classes_are_labels_and_those_of_shards_are_not(tmp_path: Path) -> None:
    classes = {f"train/{c}/{i}.jpg": picture(i) for c in ("cat", "dog") for i in range(2)}
    rows, _, _ = read(write_files(tmp_path / "classes", classes))
    assert rows.select("label", "split").rows() == [("cat", "train")] * 2 + [("dog", "train")] * 2
    shards: dict[str, bytes | str] = {}
    for shard in ("00000", "00001"):
        facts = {"key": f"{shard}0000", "url": "u", "caption": shard, "status": "success"}
        shards |= {
            f"{shard}/{shard}0000.jpg": picture(int(shard)), f"{shard}/{shard}0000.txt": shard,
            f"{shard}/{shard}0000.json": json.dumps(facts), f"{shard}.parquet": "x",
            f"{shard}_stats.json": "{}",
        }  # fmt: skip
    rows, bad, _ = read(write_files(tmp_path / "img2dataset", shards))
    assert (rows["text"].to_list(), bad) == (["00000", "00001"], [])
    assert "label" not in rows.columns


def test_a_folder_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="there is no image in"):
        read(write_files(tmp_path / "in", {"a.txt": "x"}))


def test_a_damaged_image_and_two_of_one_name(tmp_path: Path) -> None:
    files = {"a.jpg": picture(0), "a.JPG": picture(1), "b.jpg": b"no image", "b.txt": "b"}
    rows, bad, _ = read(write_files(tmp_path / "in", files))
    assert set(rows["image"]) == {picture(0), picture(1)}
    assert len(bad) == 1
    assert bad[0].location.startswith("b.jpg")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What `datasets` writes: a folder, a dict of splits, and a Parquet that has paths alone."""
    import datasets

    write_files(tmp_path, {f"files/{i}.jpg": picture(i) for i in range(3)})
    features = datasets.Features(
        {"picture": datasets.Image(), "text": datasets.Value("string"),
         "label": datasets.ClassLabel(names=["cat", "dog"])}
    )  # fmt: skip
    values = {
        "picture": [{"bytes": picture(i), "path": None} for i in range(3)],
        "text": ["a", "b", "c"], "label": [0, 1, 0],
    }  # fmt: skip
    whole = datasets.Dataset.from_dict(values, features=features)
    datasets.disable_progress_bars()
    whole.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"test": whole.select([1]), "train": whole}).save_to_disk(tmp_path / "d")
    paths = [{"bytes": None, "path": str(tmp_path / f"files/{i}.jpg")} for i in range(3)]
    only = datasets.Dataset.from_dict({**values, "picture": paths}, features=features)
    only.to_parquet(tmp_path / "files/paths.parquet")
    return tmp_path


def test_arrow_folders_of_datasets(saved: Path) -> None:
    def arrow(name: str) -> Given:
        return given_by(TableSource(ArrowConfig(path=str(saved / name))))

    expected = [("a", 0, picture(0)), ("b", 1, picture(1)), ("c", 0, picture(2))]
    rows, bad, _ = arrow("one")
    assert (rows.select("text", "label", "image").rows(), bad) == (expected, [])
    rows, _, _ = arrow("d")
    assert rows.select("text", "label", "image").rows() == [expected[1], *expected]
    (saved / "one/cache-1.arrow").write_bytes(
        (saved / "d/test/data-00000-of-00001.arrow").read_bytes()
    )
    rows, _, remarks = arrow("one")
    assert rows.height == 3
    assert ("cache-1.arrow", "not among the files that state.json names") in {
        (r.location, r.what) for r in remarks
    }


def test_an_arrow_file_that_breaks_off_gives_what_is_there(saved: Path) -> None:
    file = saved / "one/data-00000-of-00002.arrow"
    file.write_bytes(file.read_bytes()[:-600])
    rows, bad, _ = given_by(TableSource(ArrowConfig(path=str(saved / "one"))))
    assert "c" in rows["text"].to_list()
    assert [b.location.split(" and")[0] for b in bad] == ["data-00000-of-00002.arrow row 0"]


def test_hugging_face_images_that_are_paths_alone(saved: Path) -> None:
    config = ParquetConfig(path=str(saved / "files/paths.parquet"))
    rows, bad, _ = given_by(TableSource(config))
    assert (rows["image"].to_list(), bad) == ([picture(i) for i in range(3)], [])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (
            "csv",
            b"file_name,text,text\n0.png,a,z\n",
            "names 'text' more than once (columns 2, 3); write",
        ),
        (
            "csv",
            b"file_name;text\n0.png;a\n",
            "no ',' in its first line, but ';'; write it with commas",
        ),
    ],
)
def test_metadata_that_cannot_be_read_as_it_is_are_one_error(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    folder = write_files(tmp_path / "in", {"0.png": picture(0), f"metadata.{name}": data})
    with pytest.raises(NoInput, match=re.escape(words)):
        read(folder)


def test_metadata_keep_values_as_they_stand_and_tell_what_is_wrong(tmp_path: Path) -> None:
    long = "x" * 300_000
    text = f'file_name,text,zip,word\n0.png,{long},007,nan\n1.png,"a\0b",1,inf\n1.png,c,1\n'
    files = {f"{i}.png": picture(i) for i in range(2)}
    folder = write_files(tmp_path / "in", {**files, "metadata.csv": text.encode()})
    rows, bad, _ = read(folder)
    assert rows.select("text", "zip", "word").rows() == [(long, "007", "nan"), ("a\0b", "1", "inf")]
    assert [b.location for b in bad] == ["metadata.csv line 4"]
    (folder / "metadata.csv").write_text("file_name,text\n0.png,a\n0.png,b\n1.png,c\n")
    rows, _, remarks = read(folder)
    assert rows["text"].to_list() == ["b", "c"]
    assert [r.kind for r in remarks] == ["images described twice"]


def test_metadata_in_parquet_have_dates_as_text_and_damage_is_told(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = write_files(tmp_path / "in", {"0.png": picture(0)})
    day = datetime.date(2024, 1, 1)
    table = pa.table({"file_name": ["0.png"], "text": ["a"], "day": [day], "tags": [["x"]]})
    pq.write_table(table, folder / "metadata.parquet")
    rows, bad, _ = read(folder)
    assert rows.select("text", "day", "tags").rows() == [("a", "2024-01-01", ["x"])]
    assert bad == []
    (folder / "metadata.parquet").write_bytes(b"PAR1 rubbish")
    rows, bad, _ = read(folder)
    assert rows.height == 1
    assert "metadata.parquet" in bad[0].location


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_beside_images_are_read_by_their_byte_order_mark(
    tmp_path: Path, encoding: str
) -> None:
    files = {"0.png": picture(0), "0.txt": "café\r\n".encode(encoding)}
    rows, bad, remarks = read(write_files(tmp_path / "in", files))
    assert (rows["text"].to_list(), bad, remarks) == (["café\r\n"], [], [])
