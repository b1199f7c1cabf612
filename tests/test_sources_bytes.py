"""Tables with texts as bytes, and images as lists of numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.sources.tables import PairsConfig, ParquetConfig, TableSource
from tests.inputs import Given, given_by, picture

BAD = b"caf\xe9"
MENDED = "caf\ufffd"


def pairs(folder: Path, **keys: Any) -> Given:
    return given_by(TableSource(PairsConfig(path=str(folder), **keys)))


def images(folder: Path, values: pa.Array) -> Given:
    texts = [str(i) for i in range(len(values))]
    pq.write_table(pa.table({"image": values, "text": texts}), folder / "a.parquet")
    return given_by(TableSource(ParquetConfig(path=str(folder))))


def strings(dtype: pa.DataType) -> pa.Array:
    """Two texts, the second no UTF-8, in a column that says it is one of texts, or of bytes."""
    raw = pa.array([b"fine", BAD, None], pa.binary())
    return raw if dtype == pa.binary() else pa.Array.from_buffers(dtype, 3, raw.buffers())


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_a_text_that_is_no_utf8_is_repaired_whatever_its_column_says_it_is(
    tmp_path: Path, kind: pa.DataType
) -> None:
    table = pa.table({"url": ["a", "b", "c"], "text": strings(kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    rows, bad, remarks = pairs(tmp_path)
    assert (rows["text"].to_list(), bad) == (["fine", MENDED, None], [])
    assert [(r.kind, r.location, r.what, r.count) for r in remarks] == [
        (
            "repaired values", "a.parquet row 1",
            "bytes in column 'text' that are not UTF-8 became U+FFFD", 1,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("captions", ["first", "join", "rows"])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_captions_in_a_list_are_repaired_too(
    tmp_path: Path, kind: pa.DataType, captions: str
) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 1, 3], pa.int32()), strings(kind))
    table = pa.table({"url": ["a", "b", "c"], "text": lists})
    pq.write_table(table, tmp_path / "a.parquet")
    rows, bad, remarks = pairs(tmp_path, captions=captions)
    assert (rows["text"].to_list(), bad) == (["fine", None, MENDED], [])
    assert [r.location for r in remarks] == ["a.parquet row 2"]


def test_a_column_of_bytes_that_is_no_text_stays_as_it_is(tmp_path: Path) -> None:
    table = pa.table({"url": ["a"], "text": ["t"], "mask": pa.array([BAD], pa.binary())})
    pq.write_table(table, tmp_path / "a.parquet")
    rows, bad, remarks = pairs(tmp_path)
    assert (rows["mask"].to_list(), bad, remarks) == ([BAD], [], [])


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.uint8()), pa.large_list(pa.uint8()), pa.list_(pa.int64())]
)
def test_the_bytes_of_an_image_may_stand_as_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array([list(picture(1)), None, list(picture(2)), []], kind)
    rows, bad, _ = images(tmp_path, values)
    assert rows["image"].to_list() == [picture(1), picture(2)]
    assert [b.reason for b in bad] == ["no image bytes"] * 2


def test_the_bytes_of_an_image_may_stand_in_lists_of_one_length(tmp_path: Path) -> None:
    data = list(picture(1))
    rows, bad, _ = images(tmp_path, pa.array([data, data], pa.list_(pa.uint8(), len(data))))
    assert (rows["image"].to_list(), bad) == ([picture(1)] * 2, [])


def test_numbers_in_a_list_of_images_or_in_hugging_faces_struct(tmp_path: Path) -> None:
    two = [[list(picture(1))], [list(picture(1)), list(picture(2))]]
    rows, bad, _ = images(tmp_path, pa.array(two, pa.list_(pa.list_(pa.uint8()))))
    assert rows["image"].to_list() == [picture(1)]
    assert bad[0].reason.startswith("2 images; ")
    kind = pa.struct([("bytes", pa.list_(pa.uint8())), ("path", pa.string())])
    rows, bad, _ = images(tmp_path, pa.array([{"bytes": two[0][0], "path": None}], kind))
    assert (rows["image"].to_list(), bad) == ([picture(1)], [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (list(range(77)), "a list of 77 numbers"),
        ([300, 2, 3], "a list of 3 numbers"),
        ([0.5, 2.0], "a list of 2 numbers"),
        (np.zeros((4, 5, 3), np.uint8).tolist(), "an array of 4 × 5 × 3 numbers"),
        (np.zeros((1, 5), np.uint8).tolist(), "an array of 1 × 5 numbers"),
    ],
)
def test_pixels_and_other_numbers_are_called_what_they_are(
    tmp_path: Path, values: list[Any], said: str
) -> None:
    rows, bad, _ = images(tmp_path, pa.array([values]))
    assert rows.height == 0
    assert [b.reason for b in bad] == [
        f"{said}, and they are not the bytes of an image file; encode pixels as PNG or JPEG "
        "first, and store the bytes"
    ]
