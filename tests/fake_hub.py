"""A hub of models on this machine: folders served as the Hugging Face Hub serves repositories.

`python tests/fake_hub.py FOLDER [--gated NAME]` prints its address, then each file it sends.
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """One request."""

    folder: Path
    gated = ""

    def do_GET(self) -> None:
        self.serve(with_body=True)

    def do_HEAD(self) -> None:
        self.serve(with_body=False)

    def serve(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        name = "/".join(path.removeprefix("/api/models").strip("/").split("/")[:2])
        repo = self.folder / name
        if not repo.is_dir():
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            tree = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40}
                for f in sorted(repo.iterdir())
            ]
            self.answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/api/models"):
            files = [{"rfilename": f.name} for f in sorted(repo.iterdir())]
            facts = {"id": name, "modelId": name, "sha": COMMIT, "siblings": files}
            self.answer(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})
        elif name == self.gated:
            said = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to it is restricted."}
            self.answer(403, b"", said)
        else:
            self.send(repo / path.rsplit("/", 1)[-1], with_body)

    def send(self, file: Path, with_body: bool) -> None:
        if not file.is_file():
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        data = file.read_bytes()
        tag = hashlib.sha256(data).hexdigest()
        begin, end = self.asked(len(data))
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if end - begin < len(data):
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            print(f"began {file.name}", flush=True)
            self.answer(206, data[begin:end], headers, with_body)
            return
        if with_body:
            print(f"sent {file.name}", flush=True)
        self.answer(200, data, headers, with_body)

    def asked(self, size: int) -> tuple[int, int]:
        """The bytes [begin, end) that the request wants of so many."""
        begin, _, end = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        return int(begin), min(size, int(end) + 1 if end else size)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str], with_body: bool = True
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body and self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    Hub.folder = Path(sys.argv[1])
    Hub.gated = sys.argv[3] if len(sys.argv) > 3 else ""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
