"""A server whose answers depend on the path alone, and that counts what it sees; it runs in a
thread of its own.
"""

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = tuple[bytes, str]
"""Bytes as they go out, and what follows: "" (the next request), `end` (the connection is closed),
`stall` (nothing more comes), `reset`.
"""


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {len(body)}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class HostileWeb:
    """`answers`: host and path to the answer."""

    def __init__(self, answers: Callable[[str, str], Answer], pause_s: float = 0.0) -> None:
        self.answers, self.pause_s = answers, pause_s
        self.asked: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path, host = line.split()[1].decode(), ""
                while (header := await reader.readline()) not in (b"\r\n", b""):
                    if header.lower().startswith(b"host:"):
                        host = header.split(b":")[1].strip().decode()
                self.asked[f"{host}{path}"] += 1
                self.at_once[host] += 1
                self.most_at_once[host] = max(self.most_at_once[host], self.at_once[host])
                await asyncio.sleep(self.pause_s)
                data, then = self.answers(host, path)
                writer.write(data)
                await writer.drain()
                self.at_once[host] -= 1
                if then == "stall":
                    await asyncio.sleep(30)
                if then == "end":
                    return
                if then == "reset":
                    writer.transport.abort()
                    return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@contextmanager
def hostile_web(
    answers: Callable[[str, str], Answer],
    pause_s: float = 0.0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[HostileWeb]:
    web, loop, ready = HostileWeb(answers, pause_s), asyncio.new_event_loop(), threading.Event()

    async def main() -> asyncio.Server:
        server = await asyncio.start_server(web.serve, "127.0.0.1", 0, backlog=1024, ssl=tls)
        web.port = server.sockets[0].getsockname()[1]
        ready.set()
        return server

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(main())
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield web
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
