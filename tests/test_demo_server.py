"""The demo's server answers by halves as its rows' faults say, and outlives clients that go away
in the middle of anything.
"""

import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import World

ROWS = 400
WORLD = World(ROWS, 0)
ROW_OF = {WORLD.row(i).fault: i for i in reversed(range(ROWS))}
"""The first row of each fault."""
GONE = struct.pack("ii", 1, 0)
"""A linger of no seconds: the connection is reset, not ended."""


class DemoProcess:
    """The server in a process of its own, and what it has to say beside its port."""

    def __init__(self, errors: Path) -> None:
        command = [sys.executable, "-m", "pairmill.demo.server", "--rows", str(ROWS)]
        self.errors = errors
        with errors.open("wb") as stream:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def asked(self, row: int) -> socket.socket:
        """A connection on which a row's picture was asked for."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(f"GET /i/{row}.jpg HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection

    def whole(self, row: int) -> tuple[dict[str, str], bytes]:
        """Headers and body, up to where the server has no more to say."""
        with self.asked(row) as connection:
            data = b""
            length = None
            while length is None or len(data) < length:
                part = connection.recv(2**16)
                if not part:
                    break
                data += part
                if length is None and b"\r\n\r\n" in data:
                    head = data.partition(b"\r\n\r\n")[0]
                    found = re.search(rb"Content-Length: (\d+)", head)
                    length = len(head) + 4 + int(found.group(1)) if found else None
        head, _, body = data.partition(b"\r\n\r\n")
        lines = (line.partition(b": ") for line in head.splitlines()[1:])
        return {key.decode(): value.decode() for key, _, value in lines}, body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    started = DemoProcess(tmp_path_factory.mktemp("demo") / "errors")
    yield started
    started.process.terminate()
    started.process.wait(120)
    assert started.process.stdout is not None
    started.process.stdout.close()


def test_answers_by_halves_are_the_halves_that_the_faults_promise(server: DemoProcess) -> None:
    row = WORLD.row(ROW_OF["truncated"])
    picture = picture_bytes(WORLD, row)
    headers, body = server.whole(row.index)
    assert headers["Content-Length"] == str(len(picture))
    assert body == picture[: len(picture) // 2]
    row = WORLD.row(ROW_OF["cut_file"])
    picture = picture_bytes(WORLD, row)
    headers, body = server.whole(row.index)
    assert headers["Content-Length"] == str(len(body))
    assert body == picture[: len(picture) // 3]


def hangs_up_at_once(server: DemoProcess, row: int) -> None:
    """Before the answer."""
    connection = server.asked(row)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, GONE)
    connection.close()


def hangs_up_amid_the_answer(server: DemoProcess, row: int) -> None:
    connection = server.asked(row)
    if WORLD.row(row).fault != "stalled":  # of which nothing comes for a minute
        assert connection.recv(20).startswith(b"HTTP/1.1 ")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, GONE)
    connection.close()


def asks_by_halves(server: DemoProcess, row: int) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(f"GET /i/{row}.jpg HT".encode())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, GONE)
    connection.close()


@pytest.mark.parametrize("client", [hangs_up_at_once, hangs_up_amid_the_answer, asks_by_halves])
def test_clients_that_go_away_leave_a_server_that_answers_and_says_nothing(
    server: DemoProcess, client: object
) -> None:
    assert {"slow", "stalled", "giant", "truncated", "bomb", "none"} <= ROW_OF.keys()
    assert callable(client)
    for row in ROW_OF.values():
        client(server, row)
    sound = WORLD.row(ROW_OF["none"])
    assert server.whole(sound.index)[1] == picture_bytes(WORLD, sound)
    assert server.process.poll() is None
    assert server.errors.read_bytes() == b""
