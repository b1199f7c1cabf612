"""The demo's web server, a process of its own: serves the world's pictures with the web's faults.

    python -m pairmill.demo.server --rows 1000 --seed 0 [--port 0]

Prints its port, then serves until it is stopped or its parent is gone.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict

from aiohttp import web

from pairmill.demo.pictures import bomb, picture_bytes
from pairmill.demo.traits import add_arguments, traits_of
from pairmill.demo.world import CLOSED_HOST, ROBOTS, ROBOTS_FOR_OTHERS, World, WorldRow

SLOW_S = 60.0


class DemoServer:
    """Answers `/i/<index>.jpg` as the row's fault says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[int, int] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer for one picture: its row's fault, the picture where there is none, 404 where
        there is no row.
        """
        index = int(request.match_info["index"])
        if index >= self.world.rows:
            return web.Response(status=404)
        row = self.world.row(index)
        self.seen[index] = self.seen.get(index, 0) + 1
        handler = getattr(self, f"serve_{row.fault}", None)
        if handler is None:
            return self.image(row)
        try:
            return await handler(request, row)
        except ConnectionError:  # whoever asked has gone: no traceback into the demo's output
            return web.Response(status=408)

    def image(self, row: WorldRow, **headers: str) -> web.Response:
        """Answers a request for an image, with its fault."""
        return web.Response(
            body=picture_bytes(self.world, row), headers={"Content-Type": "image/jpeg", **headers}
        )

    async def serve_redirect(self, request: web.Request, row: WorldRow) -> web.Response:
        """One redirect to another address, which then has the picture."""
        if "to" in request.query:
            return self.image(row)
        return web.Response(status=302, headers={"Location": f"{request.path}?to=1"})

    async def serve_busy_once(self, request: web.Request, row: WorldRow) -> web.Response:
        """429 without a pause at the first request, the picture at later ones."""
        return (
            web.Response(status=429, headers={"Retry-After": "0"})
            if self.seen[row.index] == 1
            else self.image(row)
        )

    async def serve_error_once(self, request: web.Request, row: WorldRow) -> web.Response:
        """503 at the first request, the picture at later ones."""
        return web.Response(status=503) if self.seen[row.index] == 1 else self.image(row)

    async def serve_wrong_type(self, request: web.Request, row: WorldRow) -> web.Response:
        """The picture, announced as plain text."""
        return self.image(row, **{"Content-Type": "text/plain"})

    async def serve_robots_other(self, request: web.Request, row: WorldRow) -> web.Response:
        """The picture with an X-Robots-Tag that binds other robots alone."""
        return self.image(
            row, **{"X-Robots-Tag": ROBOTS_FOR_OTHERS[row.index % len(ROBOTS_FOR_OTHERS)]}
        )

    async def serve_robots(self, request: web.Request, row: WorldRow) -> web.Response:
        """The picture with an X-Robots-Tag by which the server opts out."""
        return self.image(row, **{"X-Robots-Tag": ROBOTS[row.index % len(ROBOTS)]})

    async def serve_tdm(self, request: web.Request, row: WorldRow) -> web.Response:
        """The picture with its text and data mining rights reserved (`tdm-reservation: 1`)."""
        return self.image(row, **{"tdm-reservation": "1"})

    async def serve_not_found(self, request: web.Request, row: WorldRow) -> web.Response:
        """404 with a text."""
        return web.Response(status=404, text="not found")

    async def serve_gone(self, request: web.Request, row: WorldRow) -> web.Response:
        """410, for a picture that was taken away for good."""
        return web.Response(status=410)

    async def serve_forbidden(self, request: web.Request, row: WorldRow) -> web.Response:
        """403, whoever asks."""
        return web.Response(status=403)

    async def serve_busy(self, request: web.Request, row: WorldRow) -> web.Response:
        """429 with a `Retry-After` of a day, longer than a run waits."""
        return web.Response(status=429, headers={"Retry-After": "86400"})

    async def serve_error(self, request: web.Request, row: WorldRow) -> web.Response:
        """500 at every request."""
        return web.Response(status=500)

    async def serve_loop(self, request: web.Request, row: WorldRow) -> web.Response:
        """A redirect to the very address that was asked for."""
        return web.Response(status=301, headers={"Location": str(request.rel_url)})

    async def serve_private(self, request: web.Request, row: WorldRow) -> web.Response:
        """A redirect to an address that is not public: loopback, link-local or inside IPv6."""
        targets = (
            "http://127.0.0.1:9/secret",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:10.0.0.1]/",
            "http://localhost:9/",
        )
        return web.Response(status=302, headers={"Location": targets[row.index % len(targets)]})

    async def serve_slow(self, request: web.Request, row: WorldRow) -> web.StreamResponse:
        """The picture at 64 bytes every 0.6 s."""
        data = picture_bytes(self.world, row)
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            for i in range(0, len(data), 64):
                await response.write(data[i : i + 64])
                await asyncio.sleep(SLOW_S / 100)
        return response

    async def serve_stalled(self, request: web.Request, row: WorldRow) -> web.Response:
        """No byte for a minute, then 504."""
        await asyncio.sleep(SLOW_S)
        return web.Response(status=504)

    async def serve_truncated(self, request: web.Request, row: WorldRow) -> web.StreamResponse:
        """Half of the bytes that were announced, then an end of the connection."""
        data = picture_bytes(self.world, row)
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    async def serve_cut_file(self, request: web.Request, row: WorldRow) -> web.Response:
        """A whole answer that holds the first third of a JPEG file."""
        data = picture_bytes(self.world, row)
        return web.Response(body=data[: len(data) // 3], content_type="image/jpeg")

    async def serve_html(self, request: web.Request, row: WorldRow) -> web.Response:
        """A web page announced as JPEG."""
        return web.Response(text="<!doctype html><title>Sorry</title>", content_type="image/jpeg")

    async def serve_svg(self, request: web.Request, row: WorldRow) -> web.Response:
        """A vector graphic with a script in it."""
        return web.Response(
            text="<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
            content_type="image/svg+xml",
        )

    async def serve_empty(self, request: web.Request, row: WorldRow) -> web.Response:
        """A JPEG of no bytes."""
        return web.Response(body=b"", content_type="image/jpeg")

    async def serve_giant(self, request: web.Request, row: WorldRow) -> web.StreamResponse:
        """A thousand bytes of 10 GB that are announced."""
        response = web.StreamResponse(headers={"Content-Length": str(10**10)})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await response.write(b"\xff\xd8\xff" + bytes(1000))
        return response

    async def serve_endless(self, request: web.Request, row: WorldRow) -> web.StreamResponse:
        """Up to 250 MiB of zeros, their length not announced."""
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            for _ in range(4000):
                await response.write(bytes(2**16))
        return response

    async def serve_bomb(self, request: web.Request, row: WorldRow) -> web.Response:
        """A PNG of a few hundred bytes that promises 400 megapixels."""
        return web.Response(body=bomb(), content_type="image/png")


def application(world: World) -> web.Application:
    """The web server of a world."""
    app = web.Application()
    app.router.add_get(r"/i/{index:\d+}.jpg", DemoServer(world).answer)
    return app


@contextlib.contextmanager
def running(rows: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Starts a server process of a world on a free port; gives the `resolve` map that leads the
    world's hosts to it.
    """
    command = [
        sys.executable,
        "-m",
        "pairmill.demo.server",
        "--rows",
        str(rows),
        "--seed",
        str(seed),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield {CLOSED_HOST: "127.0.0.1:1", "*.demo.test": f"127.0.0.1:{port}"}
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
        if process.stdin:
            process.stdin.close()


async def serve_until_orphaned(app: web.Application, port: int, line: str = "{port}") -> None:
    """Serves on this machine, prints a line that tells the port, and ends with the parent
    process.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    sys.stdout.write(line.format(port=server.sockets[0].getsockname()[1]) + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)


def main() -> None:
    """Serves a world until it is ended."""
    parser = argparse.ArgumentParser(description="The demo's web server.")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    add_arguments(parser)
    args = parser.parse_args()
    world = World(args.rows, args.seed, **asdict(traits_of(args)))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_until_orphaned(application(world), args.port))


if __name__ == "__main__":
    main()
