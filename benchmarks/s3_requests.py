"""Requests that a column set of 1,024 rows, and a whole run, cost on an object store, counted by a
real S3 server (moto).

    python benchmarks/s3_requests.py

The run has five stages that compute, one of them over all rows, and a package; its second start has
everything stored.  What a shard adds is the difference between 40 and 10 shards.
"""

import io
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pyarrow import fs

sys.path.insert(0, str(Path(__file__).parent.parent))
from pairmill.api import Pipeline
from pairmill.schemas.arrow import ERROR, column
from pairmill.workspace.columns import ColumnFile
from pairmill.workspace.contents import open_workspace

WRITES = pa.schema([column("score", pa.float32(), "a number")])
PICTURES = pa.schema([*WRITES, column("image", pa.large_binary(), "an image")])
ROWS = 1024
FILE = """
name: requests
workspace: "{url}"
source: {{type: parquet, path: pairs.parquet, rows_per_shard: 32}}
stages:
  - {{stage: text_rules, keep: text_words > 2}}
  - {{stage: language}}
  - {{stage: resolution, keep: shorter_side >= 32}}
  - {{stage: image_hash}}
  - {{stage: dedup, "on": [sha256], keep: dup_of IS NULL}}
outputs:
  - {{type: webdataset, path: "{out}", samples_per_shard: 32}}
"""


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    log = Path(tempfile.mkstemp()[1])
    with log.open("w") as stream:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
            stdout=stream,
            stderr=stream,
        )
    try:
        time.sleep(5)
        fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
        ).create_dir("bucket")
        storage = open_workspace(f"s3://bucket/work?endpoint_override=127.0.0.1:{port}&scheme=http")
        scores, pictures = (
            ColumnFile(
                storage, f"columns/{name}/a.parquet", writes, {n: n for n in writes.names}, {}
            )
            for name, writes in (("set", WRITES), ("images", PICTURES))
        )
        rows = pa.table(
            {
                "row": pa.array(range(ROWS), pa.int32()),
                "score": pa.array([0.1] * ROWS, pa.float32()),
                "error": pa.nulls(ROWS, ERROR),
            }
        )
        images = rows.append_column(
            "image", pa.array([os.urandom(20_000) for _ in range(ROWS)], pa.large_binary())
        )
        print("| operation | requests | of which |\n| --- | ---: | --- |")
        for name, work in (
            ("look for a shard that is not there", lambda: scores.load(["score"])),
            ("commit a shard", lambda: scores.commit(rows)),
            ("read a shard", lambda: scores.load(["score"])),
            (
                "commit a shard with 20 MB of images",
                lambda: pictures.commit(images),
            ),
            ("read its narrow columns", lambda: pictures.load(["score"])),
            ("read its images", lambda: pictures.load(["image"])),
        ):
            found = counted(log, work)
            print(f"| {name} | {sum(found.values())} | {told(found)} |")
        few, many = (
            whole_run(log, f"endpoint_override=127.0.0.1:{port}&scheme=http", shards)
            for shards in (10, 40)
        )
        for name, a, b in zip(
            ("a whole run, a shard", "the same with everything stored, a shard"),
            few,
            many,
            strict=True,
        ):
            each = {verb: round((b[verb] - a[verb]) / 30, 1) for verb in b}
            print(f"| {name} | {sum(each.values()):.1f} | {told(Counter(each))} |")
    finally:
        server.kill()
        log.unlink()


def told(found: Counter[str]) -> str:
    return ", ".join(f"{n:g} {verb}" for verb, n in found.most_common() if n)


def whole_run(log: Path, options: str, shards: int) -> list[Counter[str]]:
    """Requests of a run over so many shards, and of the same run again."""
    folder = Path(tempfile.mkdtemp())
    draw, sink = random.Random(0), io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(sink, "JPEG")
    rows = [
        {
            "image": sink.getvalue(),
            "text": f"a plain text number {i}",
            "sha256": f"{draw.getrandbits(256):064x}",
        }
        for i in range(32 * shards)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet")
    work, out = (f"s3://bucket/{name}{shards}?{options}" for name in ("work", "out"))
    (folder / "p.yaml").write_text(FILE.format(url=work, out=out))
    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    try:
        return [counted(log, lambda: pipeline.run(progress=False, local=True)) for _ in range(2)]
    finally:
        shutil.rmtree(folder)


def counted(log: Path, work: Callable[[], object]) -> Counter[str]:
    """Requests by verb while `work` runs."""
    before = log.stat().st_size
    work()
    time.sleep(0.5)
    return Counter(
        re.findall(r"(GET|HEAD|PUT|POST|DELETE) /\S* HTTP", log.read_bytes()[before:].decode())
    )


if __name__ == "__main__":
    main()
