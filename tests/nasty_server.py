"""A server that writes whatever bytes a test says in answer to a request, and nothing by itself."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

Handler = Callable[["NastyServer", asyncio.StreamWriter, str], Awaitable[None]]


class NastyServer:
    """`how`: what is done to the next requests; it may write without an end."""

    def __init__(self) -> None:
        self.how: Handler = plain
        self.port = 0
        self.seen: list[tuple[str, bytes]] = []
        """Head and body of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def chats(self) -> int:
        """Requests for an answer."""
        return sum(head.startswith("POST") for head, _ in self.seen)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                lengths = [li for li in head.splitlines() if li.lower().startswith("content-len")]
                size = int(lengths[0].split(":")[1]) if lengths else 0
                body = await reader.readexactly(size)
                self.seen.append((head, body))
                await self.how(self, writer, body.decode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def completion(text: str | None = "a red ball", **more: Any) -> dict[str, Any]:
    """A chat completion, with `more` in place of its keys; `message` and `choice` of its parts."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**whole, "choices": [choice], "usage": usage, **more}


def http(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    """An answer as it goes over the wire."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def telling(*answers: bytes) -> Handler:
    """Gives the answers in turn, over and over."""
    told = 0

    async def tell(server: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        nonlocal told
        writer.write(answers[told % len(answers)])
        told += 1

    return tell


plain = telling(http(completion()))


@contextlib.contextmanager
def nasty(host: str = "127.0.0.1") -> Iterator[NastyServer]:
    """The server in a thread."""
    server, loop = NastyServer(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="nasty")
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(server.handle, host, 0, limit=2**26)

    async def stop() -> None:
        listening.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result()
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
