"""Messages to and from a decoder: two little-endian uint32 lengths, a JSON header, raw bytes."""

import contextlib
import json
import os
import select
import struct
import subprocess
import time
from typing import Any

LENGTHS = struct.Struct("<II")


def send(child: subprocess.Popen[bytes], header: dict[str, Any], data: bytes, end: float) -> None:
    """Raises OSError where the child has died, TimeoutError where it takes nothing until `end`."""
    assert child.stdin is not None
    text = json.dumps(header).encode()
    for part in (LENGTHS.pack(len(text), len(data)) + text, data):
        view = memoryview(part)
        while view:
            wait_until(child.stdin.fileno(), select.POLLOUT, end)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(child.stdin.fileno(), view) :]


def receive(child: subprocess.Popen[bytes], end: float) -> tuple[dict[str, Any], bytes]:
    """Raises EOFError where the child has died, TimeoutError where it is silent."""
    assert child.stdout is not None
    header_bytes, data_bytes = LENGTHS.unpack(
        read_exactly(child.stdout.fileno(), LENGTHS.size, end)
    )
    header = json.loads(read_exactly(child.stdout.fileno(), header_bytes, end))
    return header, read_exactly(child.stdout.fileno(), data_bytes, end)


def read_exactly(stream: int, size: int, end: float) -> bytes:
    """`size` bytes of a pipe; raises EOFError where it closes before, TimeoutError at `end`."""
    parts = bytearray()
    while len(parts) < size:
        wait_until(stream, select.POLLIN, end)
        part = os.read(stream, size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def wait_until(stream: int, event: int, end: float) -> None:
    """Until a pipe can be read or written, or has been closed; raises TimeoutError at `end`."""
    poll = select.poll()
    poll.register(stream, event)
    if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
        raise TimeoutError
