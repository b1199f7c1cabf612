"""Requests that a column set of 1,024 rows costs on an object store, counted by a real S3 server (moto).

python benchmarks/s3_requests.py
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

sys.path.insert(0, str(Path(__file__).parent.parent))
from pairmill.pipeline.store import ColumnStore
from pairmill.pipeline.workspace import open_workspace
from pairmill.schemas.arrow import ERROR, column

WRITES = pa.schema([column("score", pa.float32(), "a number")])
PICTURES = pa.schema([*WRITES, column("image", pa.large_binary(), "an image")])
ROWS = 1024


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    log = Path(tempfile.mkstemp()[1])
    with log.open("w") as stream:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], stdout=stream, stderr=stream
        )
    try:
        time.sleep(5)
        fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True).create_dir("bucket")
        store = ColumnStore(open_workspace(f"s3://bucket/work?endpoint_override=127.0.0.1:{port}&scheme=http"))
        rows = pa.table({
            "row": pa.array(range(ROWS), pa.int32()), "score": pa.array([0.1] * ROWS, pa.float32()), "error": pa.nulls(ROWS, ERROR),
        })  # fmt: skip
        images = rows.append_column("image", pa.array([os.urandom(20_000) for _ in range(ROWS)], pa.large_binary()))
        print("| operation | requests | of which |\n| --- | ---: | --- |")
        for name, work in (
            ("look for a shard that is not there", lambda: store.load("set", 0, ["score"])),
            ("commit a shard", lambda: store.commit("set", 0, rows, WRITES)),
            ("read a shard", lambda: store.load("set", 0, ["score"])),
            ("commit a shard with 20 MB of images", lambda: store.commit("images", 0, images, PICTURES)),
            ("read its narrow columns", lambda: store.load("images", 0, ["score"])),
            ("read its images", lambda: store.load("images", 0, ["image"])),
        ):
            found = counted(log, work)
            print(f"| {name} | {sum(found.values())} | {', '.join(f'{n} {verb}' for verb, n in found.most_common())} |")
    finally:
        server.kill()
        log.unlink()


def counted(log: Path, work: Callable[[], object]) -> Counter[str]:
    """Requests by verb while `work` runs."""
    before = log.stat().st_size
    work()
    time.sleep(0.5)
    return Counter(re.findall(r"(GET|HEAD|PUT|POST|DELETE) /\S* HTTP", log.read_bytes()[before:].decode()))


if __name__ == "__main__":
    main()
