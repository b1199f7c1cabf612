"""A server with OpenAI's API that starts a process which leaves its group and does not end when it
is asked to, nor does, with `--stubborn`, the server: `python tests/stubborn_server.py PORT LOG`.
It lists its model under another name; with `--unlisted` that request fails.

A text with POISON ends it at once.  LOG gets a line for each answer, LOG.pids the numbers of both
processes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LOG = int(sys.argv[1]), sys.argv[2]
ANSWER_S = 0.05
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        listed = "--unlisted" not in sys.argv or self.path == "/health"
        self.send({"data": [{"id": "another"}]}, 200 if listed else 500)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        text = json.loads(self.rfile.read(length))["messages"][-1]["content"]
        if "POISON" in text:
            sys.stderr.write("Segmentation fault, says the server\n")
            sys.stderr.flush()
            os._exit(3)
        time.sleep(ANSWER_S)
        with open(LOG, "a") as stream:
            stream.write(f"{text}\n")
        message = {"role": "assistant", "content": f"about {text}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        self.send({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})

    def send(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing of requests."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
with open(f"{LOG}.pids", "a") as stream:
    stream.write(f"{os.getpid()}\n{child.pid}\n")
sys.stdout.write("the stubborn server starts\n")
sys.stdout.flush()
Server(("127.0.0.1", PORT), Handler).serve_forever()
