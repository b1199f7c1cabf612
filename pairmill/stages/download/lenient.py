"""Answers whose headers curl and browsers take and a strict parser does not: mended before they are
parsed.

What is mended: the case and spacing of the status line, `HTTP/2` in words, blanks before a colon,
lines that are no header, control characters in values, several equal lengths, a length beside
`chunked`, and what a server sends behind the end of its answer.  What stays an error is told as
`protocol`: no HTTP at all, or lengths that contradict each other.
"""

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MOST_HEAD_BYTES = 300 * 1024
"""All headers of one answer (curl's limit, too)."""
MOST_HEADERS = 5_000
BEGINS = re.compile(rb"\s*HTTP/", re.IGNORECASE)
STATUS = re.compile(rb"\s*HTTP/(\d)(?:\.(\d))?\s+(\d{3})(?:\s+(.*?))?\s*", re.IGNORECASE)
END = re.compile(rb"\r?\n\r?\n")
NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
BODILESS = (204, 304)


@dataclass(frozen=True)
class ResponseHead:
    """A status line with headers as a parser wants them, the status, and how many bytes of body
    follow (None: that is not told by a length).
    """

    data: bytes
    status: int
    length: int | None


def mended(head: bytes) -> ResponseHead | None:
    """None where it is no HTTP."""
    first, *lines = head.lstrip().split(b"\n")
    match = STATUS.fullmatch(first)
    if match is None:
        return None
    old = (match[1], match[2]) == (b"1", b"0")
    words = CONTROLS.sub(b" ", match[4] or b"")
    found = [b"HTTP/1.%d %s %s" % (0 if old else 1, match[3], words)]
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for name, value in fields(lines):
        kind = name.lower()
        if kind == b"content-length":
            lengths += [part.strip().removeprefix(b"+") for part in value.split(b",")]
        elif kind == b"transfer-encoding":
            codings += [part.strip().lower() for part in value.split(b",") if part.strip()]
        else:
            found.append(b"%s: %s" % (name, value))
    status, length = int(match[3]), None
    digits = dict.fromkeys(int(part) for part in lengths if part.isdigit() and len(part) < 19)
    if b"chunked" in codings:
        others = [c for c in codings if c not in (b"chunked", b"identity")]
        found.append(b"Transfer-Encoding: " + b", ".join([*others, b"chunked"]))
    elif len(digits) > 1:
        found += [b"Content-Length: %d" % n for n in digits]  # the parser says what is wrong
    elif digits:
        length = next(iter(digits))
        found.append(b"Content-Length: %d" % length)
    if status < 200 or status in BODILESS:
        length = 0
    return ResponseHead(b"\r\n".join([*found, b"", b""]), status, length)


def fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """(name, value) of the lines that are headers; folded ones in one, others left out."""
    found: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if found:
                name, value = found.pop()
                found.append((name, value + b" " + CONTROLS.sub(b" ", line).strip()))
            continue
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and NAME.fullmatch(name):
            found.append((name, CONTROLS.sub(b" ", value).strip()))
    return found


class LenientResponse(ResponseHandler):
    """aiohttp's reader of answers, which gets mended headers, and no byte behind the body."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.head: bytearray | None = None
        """Bytes of a header whose end is yet to come; None outside of one."""
        self.left: int | None = None
        """Bytes of the body that are yet to come, where a length tells."""

    def set_response_params(self, **params: Any) -> None:
        """Begins an answer: a header comes first."""
        self.head, self.left = bytearray(), None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Bytes of a connection, led to the header or to the body."""
        if not data or self.upgraded:
            super().data_received(data)
        elif self.head is not None:
            self.in_head(data)
        else:
            self.in_body(data)

    def in_head(self, data: bytes) -> None:
        """Gathers a header until its end, then hands it on mended; one that is no HTTP, or too
        long, goes on as it came.
        """
        assert self.head is not None
        scanned = max(0, len(self.head) - 3)
        self.head += data
        blank = len(self.head) - len(self.head.lstrip(b"\r\n"))
        end = END.search(self.head, max(blank, scanned))
        if end is None:
            no_http = len(self.head) > 16 and not BEGINS.match(self.head)
            if no_http or len(self.head) > MOST_HEAD_BYTES:
                self.hand_over(bytes(self.head))
            return
        head = mended(bytes(self.head[: end.start()]))
        if head is None:
            self.hand_over(bytes(self.head))
            return
        rest = bytes(self.head[end.end() :])
        if head.status < 200:
            self.head = bytearray()
            if rest:
                self.in_head(rest)
            return
        self.head, self.left = None, head.length
        if self.left is not None and len(rest) > self.left:
            self.force_close()  # who sends too much here would do so before the next answer
            rest = rest[: self.left]
        if self.left is not None:
            self.left -= len(rest)
        super().data_received(head.data + rest)

    def in_body(self, data: bytes) -> None:
        """Hands on bytes of the body up to its length; what comes behind closes the connection."""
        if self.left is not None:
            if len(data) > self.left:
                self.force_close()  # who sends too much here would do so before the next answer
                data = data[: self.left]
            self.left -= len(data)
            if not data:
                return
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Told to the reader of the body, too: it would wait for what never comes."""
        super().set_exception(exc, *cause)
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError(str(exc)), exc)

    def hand_over(self, data: bytes) -> None:
        """As it came: the parser says what is wrong."""
        self.head, self.left = None, None
        super().data_received(data)


def lenient(connector: aiohttp.TCPConnector) -> aiohttp.TCPConnector:
    """The connector, made to read answers leniently (aiohttp has no public way to say so;
    tests/test_download_web.py would notice)."""
    factory: Any = partial(LenientResponse, loop=asyncio.get_running_loop())
    connector._factory = factory
    return connector
