"""Formats that need an extra: TFRecord, Lance."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pairmill.sources.base import NoInput
from pairmill.sources.lance_tables import LanceConfig, LanceSource
from pairmill.sources.tfrecord import TfRecordConfig, TfRecordSource, masked
from tests.inputs import Given, given_by, picture


def example(**features: Any) -> bytes:
    """A record as img2dataset writes it, and its frame."""
    from crc32c import crc32c
    from tfrecord import example_pb2

    made = example_pb2.Example()
    for name, value in features.items():
        feature = made.features.feature[name]
        if isinstance(value, float | np.floating):
            feature.float_list.value.append(value)
        elif isinstance(value, list):
            feature.int64_list.value.extend(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value if isinstance(value, bytes) else value.encode())
    data = made.SerializeToString()
    length = struct.pack("<Q", len(data))
    crcs = [struct.pack("<I", masked(crc32c(part))) for part in (length, data)]
    return length + crcs[0] + data + crcs[1]


def records(count: int = 4) -> list[bytes]:
    return [
        example(
            key=f"{i:09d}", jpg=picture(i), txt=f"text {i}", url=f"http://a.test/{i}", width=9,
            similarity=0.5, status="success", boxes=[1, 2, i], thumb=b"\xff\xfe" + bytes([i]),
        )
        for i in range(count)
    ]  # fmt: skip


def read(file: Path) -> Given:
    return given_by(TfRecordSource(TfRecordConfig(path=str(file))))


@pytest.mark.slow
def test_tfrecords_of_img2dataset(tmp_path: Path) -> None:
    (tmp_path / "0.tfrecord").write_bytes(b"".join(records()))
    rows, bad, _ = read(tmp_path / "0.tfrecord")
    assert bad == []
    assert rows["image"].to_list() == [picture(i) for i in range(4)]
    names = ["text", "url", "declared_width", "similarity", "boxes", "thumb", "declared_key"]
    assert rows.select(names).row(3) == (
        "text 3", "http://a.test/3", 9, 0.5, [1, 2, 3], b"\xff\xfe\x03", "000000003"
    )  # fmt: skip


def test_a_damaged_record_is_one_row_and_a_damaged_length_ends_the_file(tmp_path: Path) -> None:
    good = records()
    broken = good[1][:-9] + b"x" + good[1][-8:]
    (tmp_path / "0.tfrecord").write_bytes(good[0] + broken + good[2])
    rows, bad, _ = read(tmp_path / "0.tfrecord")
    assert rows["text"].to_list() == ["text 0", "text 2"]
    assert [(b.location, b.reason) for b in bad] == [
        ("0.tfrecord record 1", "its checksum is wrong")
    ]
    (tmp_path / "1.tfrecord").write_bytes(good[0] + struct.pack("<QI", 2**60, 0) + good[2])
    rows, bad, _ = read(tmp_path / "1.tfrecord")
    assert rows["text"].to_list() == ["text 0"]
    assert [b.location for b in bad] == ["1.tfrecord record 1 and all behind it"]
    (tmp_path / "2.tfrecord").write_bytes(good[0] + good[1][:-20])
    rows, bad, _ = read(tmp_path / "2.tfrecord")
    assert (rows["text"].to_list(), bad[0].reason) == (["text 0"], "the file breaks off")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"\xff" * len(b)])
def test_damaged_lance_data_set_costs_one_row_and_a_folder_that_is_none_is_refused(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    import lance

    paths = [str(tmp_path / name) for name in ("a.lance", "b.lance")]
    for path in paths:
        lance.write_dataset(pa.table({"url": ["u"], "text": ["t"]}), path)
    for file in (tmp_path / "b.lance/_versions").iterdir():
        file.write_bytes(damage(file.read_bytes()))
    frame, bad, _ = given_by(LanceSource(LanceConfig(path=paths)))
    assert frame.height == 1
    assert [(b.location, b.rows) for b in bad] == [("b.lance", 1)]
    assert bad[0].reason.startswith("the file is damaged: ")
    (tmp_path / "none").mkdir()
    with pytest.raises(NoInput, match="none is no Lance data set"):
        given_by(LanceSource(LanceConfig(path=[paths[0], str(tmp_path / "none")])))


def test_lance_with_images_of_any_name(tmp_path: Path) -> None:
    import lance

    table = pa.table(
        {
            "jpg": pa.array([picture(i) for i in range(5)] + [b"no image"], pa.large_binary()),
            "caption": [f"text {i}" for i in range(6)],
            "n": pa.array(range(6), pa.uint64()),
        }
    )
    lance.write_dataset(table, tmp_path / "a.lance", max_rows_per_file=2)
    source = LanceSource(LanceConfig(path=str(tmp_path / "a.lance")))
    rows, bad, _ = given_by(source)
    assert rows.select("text", "n", "image").rows() == [
        (f"text {i}", i, picture(i)) for i in range(5)
    ]
    assert [b.location for b in bad] == ["a.lance row 5"]
    assert len(source.inputs()) > 3
    with pytest.raises(NoInput, match="is no Lance data set"):
        LanceSource(LanceConfig(path=str(tmp_path))).schema()
