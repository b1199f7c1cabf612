"""Stragglers: 1,000 hosts that answer after 100 ms, and the same list where a fifth of the hosts
fails.

    python benchmarks/many_hosts.py [--rows 20000]

Of the failing hosts a quarter never answers, a quarter refuses connections, a quarter answers 500
and a quarter 404. The server is one asyncio process; the figure is images/s of `pairmill run
--local`, and the time of the last hundredth.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from measuring import machine
from photo_web import picture

HOSTS = 1000
LATENCY_S = 0.1
PIPELINE = """
name: hosts
source: {{type: pairs, path: {list}, rows_per_shard: 5000}}
stages:
  - stage: download
    image_size: 256
    timeout: 5
    retries: 1
    batch_size: 5000
    resolve: {{"*.refuses.test": "127.0.0.1:1", "*.test": "127.0.0.1:{port}"}}
outputs:
  - {{type: parquet, path: {out}}}
"""


async def serve() -> None:
    bodies = [picture(i) for i in range(40)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            number, host = int(line.split()[1].strip(b"/").split(b".")[0]), b""
            while (header := await reader.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"host:"):
                    host = header
            await asyncio.sleep(3600 if b".stalls." in host else LATENCY_S)
            status = 500 if b".fails." in host else 404 if b".gone." in host else 200
            body = bodies[number % len(bodies)] if status == 200 else b""
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                % (status, len(body))
                + body
            )
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def addresses(rows: int, failing: bool) -> list[str]:
    kinds = ["stalls", "refuses", "fails", "gone"]
    hosts = [
        f"h{i}.{kinds[(i // 5) % 4]}.test" if failing and i % 5 == 0 else f"h{i}.fine.test"
        for i in range(HOSTS)
    ]
    urls = [f"http://{hosts[i % HOSTS]}/{i}.jpg" for i in range(rows)]
    random.Random(0).shuffle(urls)
    return urls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    args = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline())
        print(f"{machine()}; {HOSTS} hosts, {LATENCY_S * 1000:.0f} ms, {args.rows} rows")
        for title, failing in (("all hosts answer", False), ("a fifth fails", True)):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                pl.DataFrame({"url": addresses(args.rows, failing)}).with_columns(
                    pl.lit("a text").alias("text")
                ).write_parquet(folder / "list.parquet")
                (folder / "p.yaml").write_text(
                    PIPELINE.format(list=folder / "list.parquet", out=folder / "out", port=port)
                )
                start = time.monotonic()
                command = [
                    sys.executable,
                    "-m",
                    "pairmill",
                    "run",
                    "--local",
                    str(folder / "p.yaml"),
                ]
                subprocess.run(
                    command,
                    check=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ},
                )
                wall = time.monotonic() - start
                facts = pl.concat(
                    [
                        pl.read_parquet(f, columns=["fetched_at", "error"]).with_columns(
                            pl.col("error").struct.field("class")
                        )
                        for f in folder.glob("workspace/columns/download-*/*.parquet")
                    ]
                )
                classes = facts.group_by("class").len().sort("len", descending=True).rows()
                images = facts["class"].null_count()
                print(
                    f"{title:17} {images} images in {wall:.0f} s: {images / wall:.0f} "
                    f"images/s   {classes}"
                )
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    asyncio.run(serve()) if sys.argv[1:] == ["serve"] else main()
