"""A proxy in front of a server with OpenAI's API that does to requests what networks, balancers and
busy servers do.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import web

CHAT = "/chat/completions"


class FaultyProxy:
    """`faults` are done to chat requests in turn, then all are passed on; `after`: what becomes of
    those.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: deque[str] = deque()
        self.after = "pass"
        self.seen: list[dict[str, object]] = []
        """Bodies of chat requests."""
        self.active = self.most = 0
        self.keys: set[str | None] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not request.path.endswith(CHAT):
            return await self.passed(request, body)
        self.seen.append(await request.json())
        self.keys.add(request.headers.get("Authorization"))
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            fault = self.faults.popleft() if self.faults else self.after
            return await getattr(self, f"do_{fault}")(request, body)
        finally:
            self.active -= 1

    async def passed(self, request: web.Request, body: bytes) -> web.Response:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                self.target + request.path.removeprefix("/v1"),
                data=body,
                headers={"Content-Type": "application/json"},
            ) as answer,
        ):
            data, kind = await answer.read(), answer.content_type
            return web.Response(status=answer.status, body=data, content_type=kind)

    async def do_pass(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return await self.passed(request, body)

    async def do_busy(self, request: web.Request, body: bytes) -> web.StreamResponse:
        headers = {"Retry-After": "0.1"}
        return web.json_response({"error": {"message": "busy"}}, status=429, headers=headers)

    async def do_closed(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"error": {}}, status=429, headers={"Retry-After": "86400"})

    async def do_error(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(status=500, text="upstream died")

    async def do_cut(self, request: web.Request, body: bytes) -> web.StreamResponse:
        whole = await self.passed(request, body)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(whole.body)
        await response.prepare(request)
        await response.write(whole.body[: len(whole.body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    async def do_stall(self, request: web.Request, body: bytes) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response(status=504)

    async def do_page(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    async def do_strange(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"answer": 42})

    async def do_hollow(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"choices": [], "usage": None})

    async def do_half(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(text='{"choices": [{"mess', content_type="application/json")

    async def do_key(self, request: web.Request, body: bytes) -> web.StreamResponse:
        said = f"no such key: {request.headers.get('Authorization')}"
        return web.json_response({"error": {"message": said}}, status=401)

    async def do_poor(self, request: web.Request, body: bytes) -> web.StreamResponse:
        error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
        return web.json_response({"error": error}, status=429)

    async def do_refuse(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"error": {"message": "image is too large"}}, status=400)

    async def do_formless(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if "response_format" in await request.json():
            said = {"error": {"message": "response_format is not supported"}}
            return web.json_response(said, status=400)
        return await self.passed(request, body)


@contextmanager
def proxy_of(target: str) -> Iterator[tuple[FaultyProxy, str]]:
    """A proxy in a thread, and its `base_url`."""
    proxy, loop = FaultyProxy(target), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    port = runner.addresses[0][1]
    try:
        yield proxy, f"http://127.0.0.1:{port}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
