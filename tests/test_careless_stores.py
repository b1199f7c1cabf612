"""Object stores that refuse writes, know no conditions of writes, or can only be read."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pairmill.errors import RunError
from pairmill.workspace.storage import Storage
from tests.careless_store import Careless


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")


@pytest.mark.parametrize("size", [1_000, 20_000_000])
def test_store_that_refuses_an_upload_keeps_the_old_object(size: int) -> None:
    """Of one request, and of several: nothing, and above all nothing empty, may be put under the
    object's own name.
    """
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
            length = self.headers.get("x-amz-decoded-content-length") or self.headers.get(
                "Content-Length", "0"
            )
            puts.append((self.path, int(length)))
            self.answer(403)

        def do_GET(self) -> None:
            self.answer(404)

        do_HEAD = do_DELETE = do_GET

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        storage = Storage(
            f"s3://bucket/work?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
        )
        with pytest.raises(PermissionError, match="privileges"):
            storage.write_bytes("shard.parquet", b"x" * size)
        server.shutdown()
    assert {n for path, n in puts if path.endswith("/shard.parquet")} <= {size}


@pytest.mark.slow
@pytest.mark.parametrize("conditions", ["ignored", "refused", "create"])
def test_store_without_conditions_works_and_is_told_from_others(conditions: str) -> None:
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Server", (Careless,), {"conditions": conditions, "objects": {}})
    )
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        storage = Storage(
            f"s3://bucket/work?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
        )
        assert not storage.keeps_conditions()
        assert storage.update_json("lease.json", lambda old: [*(old or []), 1]) == [1]
        assert storage.update_json("lease.json", lambda old: [*old, 2]) == [1, 2]
        server.shutdown()


def test_other_stores_are_read_and_not_written() -> None:
    storage = Storage("mock:///work")
    with pytest.raises(FileNotFoundError):
        storage.read_table("shard.parquet")
    with pytest.raises(
        RunError,
        match=r"mock:// can be read from and not written to; use s3://, gs://, or a mounted folder",
    ):
        storage.write_bytes("x", b"1")
