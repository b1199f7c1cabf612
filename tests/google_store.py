"""A Google Cloud Storage on this machine: gcp-storage-emulator, and before it the part of the XML
interface that it lacks.

The emulator speaks JSON, as pyarrow does.  obstore speaks XML: an object is put, got and headed at
`/bucket/name`, answers carry its generation, and `x-goog-if-generation-match` makes a write depend
on it (0: nothing may be there).

    python -m tests.google_store PORT PORT-OF-THE-EMULATOR

A process of its own, since pyarrow holds the interpreter's lock while it waits for some of Google's
answers.
"""

import contextlib
import http.client
import json
import sys
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    emulator_port = 0

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Message, bytes]:
        """Of the emulator, which serves one connection after another."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.emulator_port)
        ) as connection:
            connection.request(method, path, body, headers or {})
            found = connection.getresponse()
            return found.status, found.headers, found.read()

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with LOCK:
            self.answer_to(body)

    def answer_to(self, body: bytes) -> None:
        if self.path.startswith(("/storage/", "/upload/")):
            headers = {
                k: v
                for k, v in self.headers.items()
                if k.lower() not in ("host", "content-length", "accept-encoding")
            }
            status, found, content = self.ask(self.command, self.path, body, headers)
            location = found.get("Location", "").replace(
                f":{self.emulator_port}", f":{self.server.server_port}"
            )  # type: ignore[attr-defined]
            kept = {
                k: v
                for k, v in found.items()
                if k.lower()
                not in ("content-length", "transfer-encoding", "connection", "location")
            }
            self.answer(status, content, kept | ({"Location": location} if location else {}))
            return
        bucket, _, name = unquote(self.path.partition("?")[0])[1:].partition("/")
        if self.command == "PUT":
            self.put(bucket, name, body)
        else:
            self.get(bucket, name)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def generation(self, bucket: str, name: str) -> str:
        status, _, content = self.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        return str(json.loads(content)["generation"]) if status == 200 else "0"

    def put(self, bucket: str, name: str, body: bytes) -> None:
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None and wanted != self.generation(bucket, name):
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        kind = {"Content-Type": "application/octet-stream"}
        self.ask(
            "POST",
            f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}",
            body,
            kind,
        )
        self.answer(200, b"", self.facts(self.generation(bucket, name)))

    def get(self, bucket: str, name: str) -> None:
        generation = self.generation(bucket, name)
        if generation == "0":
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        body = self.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")[2]
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, body, self.facts(generation))
            return
        first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        last = min(last, len(body) - 1)
        self.answer(
            206,
            body[first : last + 1],
            self.facts(generation) | {"Content-Range": f"bytes {first}-{last}/{len(body)}"},
        )

    def facts(self, generation: str) -> dict[str, Any]:
        return {
            "ETag": f'"{generation}"',
            "x-goog-generation": generation,
            "Last-Modified": "Wed, 25 Nov 2026 10:00:00 GMT",
        }

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    Handler.emulator_port = int(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
