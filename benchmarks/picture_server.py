"""A plain, quick picture server for benchmarks: a few hundred drawn JPEGs in memory, any path,
loopback only.

python benchmarks/picture_server.py     # prints its port
"""

import asyncio
import io
import os
import sys

from aiohttp import web

from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for

PICTURES = 300


def pictures() -> list[bytes]:
    found = []
    for i in range(PICTURES):
        out = io.BytesIO()
        rng = rng_for("benchmark", i)
        render(random_scene(rng), rng.randint(240, 640), rng.randint(200, 480), rng).save(
            out, "JPEG", quality=85
        )
        found.append(out.getvalue())
    return found


async def main() -> None:
    bodies = pictures()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            body=bodies[int(request.match_info["index"]) % PICTURES], content_type="image/jpeg"
        )

    app = web.Application()
    app.router.add_get(r"/{index:\d+}.jpg", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
