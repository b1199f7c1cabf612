"""A cluster that does not answer is told, not waited for."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from pairmill.cluster.reaching import check_answers
from pairmill.errors import RunError
from tests.clusters import free_port


@pytest.fixture
def dashboard() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_nobody_there() -> None:
    with pytest.raises(RunError, match=r"no Ray answers at 127\.0\.0\.1:\d+ .*RAY_ADDRESS"):
        check_answers(f"127.0.0.1:{free_port()}", wait_s=0)


def test_another_server(dashboard: int) -> None:
    with pytest.raises(RunError, match=r"is not Ray's own port.*6379"):
        check_answers(f"127.0.0.1:{dashboard}", wait_s=0)


def test_one_that_hangs_up_is_tried_until_the_time_is_over() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        with pytest.raises(RunError):
            check_answers(f"127.0.0.1:{server.getsockname()[1]}", wait_s=0)


def test_other_forms_are_left_to_ray() -> None:
    check_answers("auto", wait_s=0)
