"""A table with a column of every type, and packages of it in every format."""

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pairmill.api import Pipeline

ROWS = 10
FILE = """
name: everything
license: CC-BY-4.0
citation: "@misc{everything, title={All}}"
source: {type: parquet, path: everything.parquet}
outputs:
  - {type: webdataset, path: wds, samples_per_shard: 4}
  - {type: parquet, path: pairs, samples_per_shard: 4}
  - {type: interleaved, path: documents, samples_per_shard: 4}
  - {type: messages, path: talks, samples_per_shard: 4}
  - {type: messages, layout: jsonl, path: lines, samples_per_shard: 4, columns: [NARROW]}
  - {type: messages, layout: llava, path: llava, columns: [NARROW]}
  - {type: table, path: table, samples_per_shard: 4}
  - {type: table, format: csv, path: csv, samples_per_shard: 4}
  - {type: table, format: jsonl, path: jsonl, samples_per_shard: 4}
  - {type: uids, path: uids}
"""
NARROW = "url, flag, big, d, dec, day, ts, tags, boxes, absent"
KINDS = ("wds", "pairs", "documents", "talks", "lines", "llava", "table", "csv", "jsonl")


def picture(
    shade: int, kind: str = "JPEG", size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 80, 200)).save(out, kind, **options)
    return out.getvalue()


def table() -> pa.Table:
    n = range(ROWS)
    moment = dt.datetime(2020, 1, 1, 0, 0, 0, 123456, dt.timezone.utc)
    shades = [picture(20 * i) for i in n]
    masks = [picture(10 * i, "PNG") for i in n]
    return pa.table(
        {
            "image": shades,
            "text": [f"text {i}, „ä“" if i % 3 else (None if i % 2 else "") for i in n],
            "url": [f"http://x.test/{i}.jpg" for i in n],
            "flag": [bool(i % 2) for i in n],
            "big": pa.array([2**63 - 1 - i for i in n], pa.int64()),
            "unsigned": pa.array([2**63 - 1 - i for i in n], pa.uint64()),
            "d": [1 / 3 + i for i in n],
            "f": pa.array([0.1 * i if i else float("nan") for i in n], pa.float32()),
            "dec": pa.array([Decimal("12345678901234567890.12") + i for i in n], pa.decimal128(30, 2)),
            "day": [dt.date(2020, 1, 1 + i) for i in n],
            "ts": pa.array([moment + dt.timedelta(microseconds=i) for i in n], pa.timestamp("us", "UTC")),
            "nano": pa.array([1577836800123456789 + i for i in n], pa.timestamp("ns")),
            "dur": pa.array([dt.timedelta(seconds=93784, microseconds=500000 + i) for i in n], pa.duration("us")),
            "clock": pa.array([dt.time(1, 2, 3, 4 + i) for i in n], pa.time64("us")),
            "tags": pa.array([["a", "b"][: i % 3] for i in n], pa.list_(pa.string())),
            "boxes": [[{"x": i * 0.5, "label": "cat"}] for i in n],
            "info": [{"a": i, "b": None if i % 2 else "é"} for i in n],
            "counts": pa.array([[("k", i)] for i in n], pa.map_(pa.string(), pa.int64())),
            "kind": pa.array(["x", "y"] * (ROWS // 2)).dictionary_encode(),
            "absent": pa.nulls(ROWS, pa.string()),
            "mask": pa.array([m if i != 2 else None for i, m in enumerate(masks)], pa.binary()),
            "audio": pa.array([b"RIFF\x24\0\0\0WAVEfmt " + bytes(24)] * ROWS, pa.binary()),
            "frames": pa.array([shades[: i % 3] for i in n], pa.list_(pa.binary())),
            "scan": [{"bytes": masks[i], "path": f"s{i}.png"} for i in n],
            "vector": pa.array([[0.1, 0.2, 0.3]] * ROWS, pa.list_(pa.float32(), 3)),
        }
    )  # fmt: skip


def packaged(folder: Path) -> Path:
    """A folder with a package of each kind."""
    pq.write_table(table(), folder / "everything.parquet")
    file = folder / "pipeline.yaml"
    file.write_text(FILE.replace("NARROW", NARROW))
    Pipeline.from_yaml(file).run(local=True, progress=False)
    return folder
