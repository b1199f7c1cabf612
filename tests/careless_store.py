"""An S3-like store that does not keep conditions of writes, as some do not."""

from http.server import BaseHTTPRequestHandler
from typing import ClassVar


class Careless(BaseHTTPRequestHandler):
    """A store that keeps objects, and does with conditions of a write what `conditions` says."""

    objects: ClassVar[dict[str, bytes]] = {}
    conditions = "ignored"
    """ignored, refused (as something it does not know), or create (it knows that nothing may be
    there, and no versions).
    """

    def do_PUT(self) -> None:
        data, asked = (
            self.rfile.read(int(self.headers.get("Content-Length", 0))),
            {h.lower() for h in self.headers},
        )
        if self.conditions == "refused" and asked & {"if-match", "if-none-match"}:
            self.answer(501, b"<Error><Code>NotImplemented</Code></Error>")
        elif self.conditions == "create" and "if-none-match" in asked and self.path in self.objects:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.objects[self.path] = data
            self.answer(200, b"")

    def do_GET(self) -> None:
        self.answer(200 if self.path in self.objects else 404, self.objects.get(self.path, b""))

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Length", str(len(body))),
            ("ETag", '"x"'),
            ("Last-Modified", "Wed, 25 Nov 2026 10:00:00 GMT"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self.answer(200, b"")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...
