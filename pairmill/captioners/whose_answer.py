"""Whose answer came: HTTP/1.1 gives answers no number, so what a server sends beyond its answer
would be taken for the next one on that connection.
"""

import itertools
import os
import re
import socket
import ssl
import uuid
from collections import OrderedDict
from typing import Any

ID = "X-Request-ID"
"""Header with a request's id; vLLM makes the answer's own `id` of it, and many servers and gateways
send it back.
"""
BEHIND_A_RESPONSE = ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state")
"""From httpx's stream of a response to h11's state of its connection; no public name does so."""
GIVEN = re.compile(rb'"id"\s*:\s*"([^"]{1,200})"')
"""The id that a server gave its answer."""
REMEMBERED = 10_000
"""Answers whose ids are remembered."""


class OthersAnswer(Exception):
    """What a server answered is for another request."""


class RequestIds:
    """Ids of the requests of one client, by which an answer to another one of them is known."""

    def __init__(self) -> None:
        self.prefix, self.numbers = uuid.uuid4().hex, itertools.count()
        self.known = re.compile(rf"{self.prefix}-\d+".encode())

    def new(self) -> str:
        """The id of the next request."""
        return f"{self.prefix}-{next(self.numbers)}"

    def check(self, asked: str, response: Any, body: bytes) -> None:
        """Raises OthersAnswer where an answer names another request of this client; most servers
        name none.  Only for an answer behind another one: a cache may give what it gave before.
        """
        told = self.known.search(response.headers.get(ID, "").encode() + b" " + body)
        if told is not None and told.group() != asked.encode():
            raise OthersAnswer("the server's answer is the one to another request")


class AnswerIds:
    """Ids that a server gave its answers: where each has one of its own, one that comes again with
    the same answer is that answer, sent twice.
    """

    def __init__(self) -> None:
        self.seen: OrderedDict[bytes, int] = OrderedDict()
        self.unique = True

    def check(self, body: bytes, behind: bool) -> None:
        """Raises OthersAnswer for an answer that came before; `behind`: whether its connection has
        had another answer.
        """
        found = GIVEN.search(body) if self.unique else None
        if found is None:
            return
        name, content = found.group(1), hash(body)
        if self.seen.get(name) == content and not behind:
            return
        if name in self.seen:
            if behind and len(self.seen) > 1 and self.seen[name] == content:
                raise OthersAnswer("the server's answer came before, to another request")
            self.unique = False
            self.seen.clear()
            return
        self.seen[name] = content
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)


def has_more(response: Any) -> bool | None:
    """Whether something nobody asked for stands behind an answer that was read to its end, on its
    connection; None where that cannot be told, or the connection is about to end.
    """
    state = response.stream
    for name in BEHIND_A_RESPONSE:
        state = getattr(state, name, None)
    stream = response.extensions.get("network_stream")
    if state is None or stream is None or not hasattr(state, "trailing_data"):
        return None
    if state.trailing_data[0]:
        return True
    secured = stream.get_extra_info("ssl_object")
    if secured is not None:
        try:
            return bool(secured.read(1)) or None
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            return None
    if not stream.get_extra_info("is_readable"):
        return False
    return None if secured is not None else has_bytes(stream.get_extra_info("socket"))


def has_bytes(connection: Any) -> bool | None:
    """Whether bytes wait on a readable socket; None where its other end closes it."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            return bool(same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) or None
    except (OSError, ValueError):
        return None


async def drop_connection(response: Any) -> None:
    """Closes the connection on which an answer came, so that no request follows on it."""
    stream = response.extensions.get("network_stream")
    if stream is not None:
        await stream.aclose()
