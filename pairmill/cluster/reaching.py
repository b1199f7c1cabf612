"""Whether a Ray answers where it is said to be, before this process joins it: Ray itself waits for
one without a word, for many minutes.
"""

import os
import socket
import time

from pairmill.errors import RunError, first_line

WAIT_S = 30.0
"""Seconds that a cluster which is just being started has."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a client of HTTP/2 says first, with an empty frame of settings (RFC 9113, 3.4)."""
HEADER, SETTINGS = 9, 4
"""Bytes of a frame's header, and the kind of the first frame that a server sends."""

TIMEOUT_S = 10.0


def check_answers(address: str, wait_s: float) -> None:
    """Raises RunError where no Ray answers at host:port; other forms of an address, such as `auto`,
    are left to Ray, and so is one that speaks TLS.  `wait_s`: until it answers, at most.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    until = time.monotonic() + wait_s
    while True:
        try:
            if speaks_http2(host.strip("[]"), int(port)):
                return
            raise RunError(
                f"what answers at {address} is not Ray's own port; the dashboard's is another: "
                "give the address that `ray start --head` printed, most often port 6379"
            )
        except OSError as error:
            if time.monotonic() > until:
                raise RunError(
                    f"no Ray answers at {address} ({first_line(error)}); start it, or mend "
                    "--address or RAY_ADDRESS; --local works on this machine"
                ) from None
        time.sleep(0.5)


def speaks_http2(host: str, port: int) -> bool:
    """Whether a server of HTTP/2 is there, as gRPC's are.  Raises OSError where none is."""
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(PREFACE)
        try:
            answer = connection.recv(HEADER, socket.MSG_WAITALL)
        except ConnectionResetError:
            return False
    if not answer:
        raise ConnectionError("the connection was closed")
    return len(answer) == HEADER and answer[3] == SETTINGS
