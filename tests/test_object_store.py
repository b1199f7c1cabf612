"""Workspaces and packages on a real S3 server, and writes that break."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pairmill.pipeline.api import Pipeline
from pairmill.pipeline.storage import DIRECT_BYTES, Storage
from tests.clusters import free_port

pytestmark = pytest.mark.timeout(300)
FILE = """
name: job
source: {type: parquet, path: pairs.parquet, rows_per_shard: 10}
stages:
  - {stage: text_rules, keep: text_words > 2}
  - {stage: resolution}
outputs:
  - {type: webdataset, path: out, samples_per_shard: 30}
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A real S3 endpoint (moto's server); gives a bucket's URL as pyarrow takes it."""
    pytest.importorskip("moto", reason="pip install 'pairmill[dev]'")
    port = free_port()
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        from pyarrow import fs

        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.2)
        storage = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True)
        storage.create_dir("bucket")
        yield f"s3://bucket/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http"
    finally:
        server.kill()
        server.wait()


def test_workspace_and_package_on_s3_are_those_on_a_disk(s3: str, pairs: Path) -> None:
    here = pairs.parent / "p.yaml"
    here.write_text(FILE)
    Pipeline.from_yaml(here).run(local=True, progress=False)
    there = pairs.parent / "s3.yaml"
    there.write_text(
        here.read_text()
        .replace("path: out,", f'path: "{s3.format("out")}",')
        .replace("name: job\n", f'name: job\nworkspace: "{s3.format("work")}"\n')
    )
    first = Pipeline.from_yaml(there).run(local=True, progress=False)
    remote = Storage(s3.format("out"))
    tars = [name for name, _ in remote.files() if name.endswith((".tar", "0.parquet"))]
    assert tars
    for name in tars:
        assert remote.read_bytes(name) == (pairs.parent / "out" / name).read_bytes()
    again = Pipeline.from_yaml(there).run(local=True, progress=False)
    assert again.funnel.to_json() == first.funnel.to_json()
    assert Storage(s3.format("work")).exists(f"runs/{first.run_id}/report/index.html")


def test_write_that_breaks_leaves_no_object_and_an_old_one_whole(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(s3.format("broken"))
    storage.write_bytes("old.bin", b"whole")
    copy = shutil.copyfileobj

    def breaks(source: object, target: object, size: int) -> None:
        target.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", breaks)
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes("old.bin", b"x" * (DIRECT_BYTES + 1))
    monkeypatch.setattr(shutil, "copyfileobj", copy)
    assert storage.read_bytes("old.bin") == b"whole"
    assert [name for name, _ in storage.files()] == ["old.bin"]

    def half() -> None:
        with storage.writing("shard.parquet") as stream:
            stream.write(b"half of it")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        half()
    assert not storage.exists("shard.parquet")


@pytest.mark.parametrize("size", [1_000, 20_000_000])
def test_store_that_refuses_an_upload_keeps_the_old_object(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one request, and of several: nothing, and above all nothing empty, may be put under the object's own name."""
    puts: list[tuple[str, int]] = []

    class Refusing(BaseHTTPRequestHandler):
        def answer(self, status: int) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.answer(403)

        def do_PUT(self) -> None:
            length = self.headers.get("x-amz-decoded-content-length") or self.headers.get("Content-Length", "0")
            puts.append((self.path, int(length)))
            self.answer(200 if ".tmp-" in self.path else 403)

        def do_GET(self) -> None:
            self.answer(404)

        do_HEAD = do_DELETE = do_GET

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        storage = Storage(f"s3://bucket/work?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1")
        with pytest.raises(OSError, match="403|ACCESS_DENIED"):
            storage.write_bytes("shard.parquet", b"x" * size)
        server.shutdown()
    assert {n for path, n in puts if path.endswith("/shard.parquet")} <= {size}
