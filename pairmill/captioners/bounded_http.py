"""How answers of a server are fetched: bodies of a bounded size, no way to another server, and no
answer to another request.
"""

import zlib
from functools import cache
from typing import Any
from weakref import WeakSet

from pairmill.captioners.whose_answer import (
    ID,
    AnswerIds,
    OthersAnswer,
    RequestIds,
    drop_connection,
    has_more,
)

LEAST_BYTES, BYTES_PER_TOKEN = 2**23, 2**12
"""What an answer may have, unpacked: so many bytes, and so many more for each token that was asked
for (a token's text, its log-probability and those of its rivals).
"""
CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Packings that are asked for → window of zlib."""
MOST_STEPS = 5
"""Redirects of one request."""
KEPT = (307, 308)
"""Redirects by which a request stays what it is."""


class AnswerTooLarge(Exception):
    """A server's answer is larger than any answer to such a request."""


class LeadsElsewhere(Exception):
    """A server sends a request on to another one, or as another request."""


class BadCoding(Exception):
    """An answer is packed in a way that was not asked for, or is no such packing."""


UNREADABLE = (AnswerTooLarge, LeadsElsewhere, BadCoding, OthersAnswer)
"""Reasons why an answer is not read."""


def most_bytes(tokens: int) -> int:
    """Bytes that an answer of so many tokens may have, unpacked."""
    return LEAST_BYTES + BYTES_PER_TOKEN * tokens


@cache
def bounded_client() -> Any:
    """The class of the client by which `openai` speaks HTTP, which reads an answer no further than
    `most` bytes, and follows redirects within one server alone: what a row shows is for the server
    that the pipeline names.
    """
    import openai

    class BoundedClient(openai.DefaultAsyncHttpxClient):
        def __init__(self, most: int, **options: Any) -> None:
            super().__init__(follow_redirects=False, **options)
            self.headers["Accept-Encoding"] = "gzip, deflate"
            self.most = most
            self.ids, self.answers = RequestIds(), AnswerIds()
            self.sends_more = False
            """Whether the server has sent what nobody asked for."""
            self.once = False
            """Whether each connection takes one request: what comes on it is the answer, then."""
            self.used: WeakSet[Any] = WeakSet()
            """Connections that have had an answer."""

        async def send(self, request: Any, **options: Any) -> Any:
            options |= {"stream": True, "follow_redirects": False}
            for _ in range(MOST_STEPS + 1):
                request.headers[ID] = self.ids.new()
                response = await super().send(request, **options)
                again = False
                try:
                    onward = way_onward(request, response)
                    body = await unpacked(response, self.most)
                    again = self.may_go_on(request, response, body)
                finally:
                    if not again:
                        await drop_connection(response)
                    await response.aclose()
                if onward is None:
                    return whole(response, body)
                request = onward
            raise LeadsElsewhere(f"the server sends requests on more than {MOST_STEPS} times")

        def may_go_on(self, request: Any, response: Any, body: bytes) -> bool:
            """Whether another request may be sent on a connection whose answer was read; raises
            OthersAnswer.  A server that failed may have begun with an answer before.
            """
            more, connection = has_more(response), response.extensions.get("network_stream")
            self.sends_more |= more is True
            self.once |= self.sends_more
            try:
                if behind := connection in self.used:
                    self.ids.check(request.headers[ID], response, body)
                if request.method == "POST" and response.is_success:
                    self.answers.check(body, behind)
            except OthersAnswer:
                self.once = True
                raise
            if connection is not None:
                self.used.add(connection)
            return more is False and not self.once and response.status_code < 500

    return BoundedClient


def way_onward(request: Any, response: Any) -> Any:
    """The request that a redirect asks for, None where it is none; raises LeadsElsewhere."""
    if not response.has_redirect_location:
        return None
    onward = response.next_request
    if onward is None:
        raise LeadsElsewhere("the server sends requests on to what is no address")
    kept = response.status_code in KEPT or onward.method == request.method == "GET"
    if not kept or not same_server(request.url, onward.url):
        raise LeadsElsewhere(
            f"the server answers {response.status_code} and sends requests on to {onward.url}; if "
            "that is right, name it in `base_url`"
        )
    return onward


def same_server(url: Any, other: Any) -> bool:
    """Whether addresses are of one server: scheme, host and port, or its own way to https."""
    ours, theirs = ((u.scheme, u.host, u.port) for u in (url, other))
    return ours == theirs or (ours, theirs) == (("http", url.host, None), ("https", url.host, None))


async def unpacked(response: Any, most: int) -> bytes:
    """The body of an answer; raises AnswerTooLarge as soon as it has more bytes, before they are
    unpacked, and BadCoding.
    """
    said = response.headers.get("content-encoding", "").lower().split(",")
    codings = [name.strip() for name in said if name.strip() not in ("", "identity")]
    if not set(codings) <= CODINGS.keys() or len(codings) > 2:
        raise BadCoding(f"the server's answer is packed as {', '.join(codings)[:80]}, unasked")
    found = bytearray()
    async for piece in response.stream:  # `aiter_raw` would give the connection back at the end
        found += piece
        if len(found) > most:
            raise too_large(most)
    for name in reversed(codings):
        found = inflated(bytes(found), CODINGS[name], most)
    return bytes(found)


def inflated(data: bytes, window: int, most: int) -> bytearray:
    """Unpacked data, of no more than `most` bytes."""
    if not data:
        return bytearray()
    unpack = zlib.decompressobj(window)
    try:
        found = unpack.decompress(data, most + 1)
    except zlib.error as error:
        if window == CODINGS["deflate"]:  # some servers leave zlib's frame out
            return inflated(data, -CODINGS["deflate"], most)
        raise BadCoding(f"the server's answer cannot be unpacked: {error}") from None
    if len(found) > most:
        raise too_large(most)
    return bytearray(found)


def too_large(most: int) -> AnswerTooLarge:
    """Says what came, and what may come."""
    return AnswerTooLarge(f"the server's answer has more than {most:,} bytes")


def whole(response: Any, body: bytes) -> Any:
    """A response with its body, which is not packed any more."""
    packed = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in packed]
    read = type(response)(response.status_code, headers=headers, content=body)
    read.request = response.request
    read.extensions = response.extensions
    read.elapsed = response.elapsed
    return read
