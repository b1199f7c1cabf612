"""JSON documents as tables: arrays, COCO, LLaVA, RedCaps, SBU; and images in files that rows name."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.sources.base import NoInput
from pairmill.sources.table_config import PairsConfig
from pairmill.sources.tables import TableSource
from tests.inputs import Given, given_by, picture, write_files


def read(path: Path, **keys: Any) -> Given:
    return given_by(TableSource(PairsConfig(path=str(path), **keys)))


def document(folder: Path, value: Any, name: str = "in.json") -> Path:
    (folder / name).write_text(json.dumps(value))
    return folder / name


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_files(tmp_path / "images", {f"train/{i}.jpg": picture(i) for i in range(3)})


def test_an_array_is_rows_and_what_is_no_object_is_told(tmp_path: Path) -> None:
    rows, bad, _ = read(
        document(
            tmp_path,
            [
                {"url": "a", "caption": "x", "n": 2**64 - 1, "f": 0.1, "tags": ["p"]},
                7,
                {"url": "b", "n": 0, "late": True},
            ],
        )
    )
    assert rows.select("url", "text", "n", "f", "tags", "late").rows() == [
        ("a", "x", 2**64 - 1, 0.1, ["p"], None),
        ("b", None, 0, None, None, True),
    ]
    assert [(b.location, b.reason) for b in bad] == [("in.json $[1]", "no object but a int")]


def test_a_document_that_breaks_off_gives_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"url": "a"}, {"url": "b"}, {"url":')
    rows, bad, _ = read(tmp_path / "a.json")
    assert rows["url"].to_list() == ["a", "b"]
    assert [b.location for b in bad] == ["a.json after value 2"]


def test_a_json_of_lines_is_lines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"url": "a"}\n{"url": \n{"url": "b"}\n')
    rows, bad, _ = read(tmp_path / "a.json")
    assert rows["url"].to_list() == ["a", "b"]
    assert [b.location for b in bad] == ["a.json line 2"]


def test_rows_names_the_list(tmp_path: Path) -> None:
    file = document(tmp_path, {"a": {"b": [{"url": "x"}]}, "c": [{"url": "y"}], "d": [{"u": 1}]})
    assert read(file, json_path="$.a.b")[0]["url"].to_list() == ["x"]
    with pytest.raises(NoInput, match=r"several lists of rows; name one: `json_path: \$.c` or"):
        read(file)
    with pytest.raises(NoInput, match=r"no list at \$.z \(it has a, c, d\)"):
        read(file, json_path="$.z")


COCO = {
    "info": {"year": 2014},
    "images": [
        {"id": i, "file_name": f"train/{i}.jpg", "coco_url": f"http://coco.test/{i}", "width": 9}
        for i in range(3)
    ],
    "annotations": [
        *({"id": 10 + k, "image_id": k % 2, "caption": f"caption {k}"} for k in range(4)),
        {"id": 99, "image_id": 77, "caption": "of nothing"},
    ],
}


def test_coco_joins_captions_with_images(tmp_path: Path, images: Path) -> None:
    rows, bad, remarks = read(document(tmp_path, COCO), images=str(images))
    found = rows.select("uid", "url", "text", "image").rows()
    assert found == [
        *((str(10 + k), f"http://coco.test/{k % 2}", f"caption {k}", picture(k % 2))
          for k in range(4)),
        (None, "http://coco.test/2", None, picture(2)),
    ]  # fmt: skip
    assert [b.reason for b in bad] == ["there is no image with the id 77"]
    assert [(r.kind, r.count) for r in remarks] == [("images without a caption", 1)]


def test_coco_without_captions_is_a_row_for_each_image(tmp_path: Path, images: Path) -> None:
    boxes = [{"id": k, "image_id": 1, "bbox": [k], "category_id": 5} for k in range(2)]
    value = {**COCO, "annotations": boxes, "categories": [{"id": 5, "name": "cat"}]}
    rows, _, _ = read(document(tmp_path, value), images=str(images))
    assert rows["categories"].to_list() == [[], ["cat", "cat"], []]
    assert [json.loads(a) for a in rows["annotations"]] == [[], boxes, []]


def test_llava_takes_the_first_answer_and_keeps_the_conversation(
    tmp_path: Path, images: Path
) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]
    file = document(
        tmp_path,
        [
            {"id": "007", "image": "train/0.jpg", "conversations": turns},
            {"id": "no image", "conversations": turns},
            {"id": "two", "image": ["train/0.jpg", "train/1.jpg"], "conversations": turns},
        ],
    )
    rows, bad, _ = read(file, images=str(images))
    row = rows.row(0, named=True)
    assert (row["uid"], row["text"], row["image"]) == ("007", "A cat.", picture(0))
    assert (json.loads(row["conversations"]), row["image_file"]) == (turns, "train/0.jpg")
    assert {b.location: b.reason for b in bad} == {
        "in.json row 1": "no image bytes",
        "in.json row 2": "2 images; pairmill does not read rows of several images yet",
    }


def test_sbu_and_redcaps(tmp_path: Path) -> None:
    lists = {"image_urls": ["u", "v", "w"], "captions": ["x", "y"], "user_ids": ["1", "2", "3"]}
    rows, bad, _ = read(document(tmp_path, lists))
    assert rows.select("url", "text", "user_id").rows() == [("u", "x", "1"), ("v", "y", "2")]
    assert [(b.rows, b.location) for b in bad] == [(1, "in.json from value 2 on")]
    redcaps = {"info": {}, "annotations": [{"url": "u", "caption": "c", "raw_caption": "C"}]}
    for keys in ({}, {"preset": "redcaps"}):
        rows, _, _ = read(document(tmp_path, redcaps), **keys)
        assert rows.select("url", "text", "raw_caption").rows() == [("u", "c", "C")]


@pytest.mark.parametrize(
    ("preset", "line"), [("cc12m", "http://a.test\tA \"cat"), ("cc3m", "A \"cat\thttp://a.test")]
)  # fmt: skip
def test_files_without_names_have_presets(tmp_path: Path, preset: str, line: str) -> None:
    (tmp_path / "data").write_text(f"{line}\n" * 2)
    rows, bad, _ = read(tmp_path / "data", preset=preset)
    assert rows.select("url", "text").rows() == [("http://a.test", 'A "cat')] * 2
    assert bad == []


@pytest.mark.parametrize(
    "value",
    [
        [{"text_list": ["a"], "image_info": [{"image_name": "a"}], "url": "u"}],
        [{"images": ["u", None], "texts": [None, "t"], "metadata": "[]", "general_metadata": ""}],
    ],
)
def test_pages_of_many_images_are_refused_with_a_clear_word(tmp_path: Path, value: Any) -> None:
    for write in (
        lambda: document(tmp_path, value),
        lambda: pl.DataFrame(value).write_parquet(tmp_path / "a.parquet") or tmp_path / "a.parquet",
        lambda: (tmp_path / "a.jsonl").write_text(json.dumps(value[0])) and tmp_path / "a.jsonl",
    ):
        with pytest.raises(NoInput, match="pages of many images and sentences"):
            read(write())


def test_a_csv_names_files_beside_it_and_none_outside(tmp_path: Path, images: Path) -> None:
    outside = tmp_path / "private.jpg"
    outside.write_bytes(picture(9))
    (images / "link.jpg").symlink_to(outside)
    names = ["train/0.jpg", f"file://{images}/train/1.jpg", str(images / "train/2.jpg"),
             "../private.jpg", str(outside), "link.jpg", "train/none.jpg", ""]  # fmt: skip
    pl.DataFrame({"picture_file": names, "caption": names}).write_csv(images / "a.csv")
    rows, bad, _ = read(images / "a.csv", image="picture_file")
    assert rows.select("text", "image_file", "image").rows() == [
        (n, n, picture(i)) for i, n in enumerate(names[:3])
    ]
    assert ["outside" in b.reason for b in bad] == [True, True, True, False, False]
    rows, _, _ = read(images / "a.csv", image="picture_file", images=str(tmp_path))
    assert rows["image"].to_list() == [picture(1), picture(2), picture(9)]


def test_the_content_of_image_files_is_part_of_the_pools_identity(
    tmp_path: Path, images: Path
) -> None:
    from pairmill.workspace.fingerprints import table_id
    from pairmill.workspace.storage import Storage

    file = document(tmp_path, [{"image": "train/0.jpg", "text": "t"}])

    def identity() -> str:
        source = TableSource(PairsConfig(path=str(file), images=str(images)))
        return table_id(Storage(str(tmp_path / "ws")), source)

    first = identity()
    assert identity() == first
    write_files(images, {"train/0.jpg": picture(77)})
    assert identity() != first
