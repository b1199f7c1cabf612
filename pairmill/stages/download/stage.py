"""The download stage: addresses to images, many at a time."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, TypeVar

import pyarrow as pa

from pairmill.addresses import without_credentials
from pairmill.schemas.arrow import column, error_array
from pairmill.stages.base import Stage
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.decoder import Decoders
from pairmill.stages.download.fetch import Fetcher
from pairmill.stages.download.outcome import Outcome
from pairmill.stages.download.shares import Ask

T = TypeVar("T")


class DownloadStage(Stage):
    """Bytes are stored as they came, or resized; error classes: dns, connect, tls, timeout,
    http_4xx, http_429, http_5xx, protocol, too_large, not_image, decode, policy.
    """

    Config = DownloadConfig

    version = 3
    actor = True
    cpus = 2.0
    overlap = 3
    flush_s = 60.0
    ask: Ask | None = None
    """Asks for this worker's share of the whole run's limits; without it, all of them are this
    worker's.
    """

    def reads(self) -> list[str]:
        return [self.config.url, *([self.config.verify_hash] if self.config.verify_hash else [])]

    def writes(self) -> pa.Schema:
        c = self.column
        fields = [
            column(c("image"), pa.large_binary(), "encoded image"),
            column(c("width"), pa.int32(), "width of the stored image", "px", 1),
            column(c("height"), pa.int32(), "height of the stored image", "px", 1),
            column(c("original_width"), pa.int32(), "width before resizing", "px", 1),
            column(c("original_height"), pa.int32(), "height before resizing", "px", 1),
            column(c("original_bytes"), pa.int64(), "size of the raw bytes", "bytes", 0),
            column(c("image_format"), pa.string(), "format of the stored image: jpg, png or webp"),
            column(c("sha256"), pa.string(), "SHA-256 of the raw bytes, hex"),
            column(c("http_status"), pa.int16(), "status of the last answer"),
            column(c("content_type"), pa.string(), "media type that the server claimed"),
            column(c("final_url"), pa.string(), "address after redirects"),
            column(c("opt_out"), pa.string(), "opt-out directives that the server sent"),
            column(
                c("download_s"),
                pa.float32(),
                "time from first attempt to the end",
                "s",
                0,
                volatile=True,
                role="seconds",
            ),
            column(
                c("fetched_at"),
                pa.timestamp("s", "UTC"),
                "when the last answer came",
                volatile=True,
                role="fetched_at",
            ),
        ]
        if self.config.extract_exif:
            fields.append(column(c("exif"), pa.string(), "EXIF tags as JSON"))
        if self.config.compute_hash != "sha256":
            fields.append(
                column(
                    c(self.config.compute_hash),
                    pa.string(),
                    f"{self.config.compute_hash.upper()} of the raw bytes, hex",
                )
            )
        return pa.schema(fields)

    def setup(self) -> None:
        self.peer = None
        if self.config.engine == "img2dataset":
            from pairmill.stages.download.peer_engine import PeerEngine

            self.peer = PeerEngine(self.config)
            return
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="download", daemon=True)
        self.thread.start()
        count = max(1, round(self.config.resources.cpus or self.cpus))
        self.decoders = Decoders(self.config, count)
        self.waiting = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self.decoders.begin()
        self.fetcher = self.wait_for(self._fetcher())

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        if self.peer:
            self.peer.close()
            return
        self.wait_for(self.fetcher.close())
        self.wait_for(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.waiting.shutdown()
        self.decoders.close()

    async def _fetcher(self) -> Fetcher:
        return Fetcher(self.config, ask=self.ask)

    def __call__(self, rows: pa.Table) -> pa.Table:
        urls = rows.column(self.config.url).to_pylist()
        hashes = (
            rows.column(self.config.verify_hash).to_pylist()
            if self.config.verify_hash
            else [None] * len(urls)
        )
        return self.table(
            self.peer(urls, hashes) if self.peer else self.wait_for(self.all(urls, hashes))
        )

    async def all(self, urls: list[str], hashes: list[str | None]) -> list[Outcome]:
        return await asyncio.gather(*(self.one(u, h) for u, h in zip(urls, hashes, strict=True)))

    async def one(self, url: str, expected: str | None) -> Outcome:
        start, examined = time.monotonic(), None
        async with self.fetcher.fetch(without_credentials(url) or "") as fetched:
            if fetched.body is not None:
                examined, seconds = await self.loop.run_in_executor(
                    self.waiting, self.decoders, fetched.body, expected
                )
                self.fetcher.decoded(fetched, seconds, examined.decoder_lost)
            size = len(fetched.body) if fetched.body is not None else None
        return Outcome(
            replace(fetched, body=None, host=None),
            examined,
            size,
            time.monotonic() - start,
            datetime.now(timezone.utc),
        )

    def table(self, outcomes: list[Outcome]) -> pa.Table:
        stored = [o.examined and o.examined.stored for o in outcomes]

        def of(name: str) -> list[Any]:
            return [getattr(image, name) if image else None for image in stored]

        fetched = [o.fetched for o in outcomes]
        values: list[list[Any]] = [
            of("data"),
            of("width"),
            of("height"),
            of("original_width"),
            of("original_height"),
            [o.size for o in outcomes],
            of("format"),
            [o.examined and o.examined.sha256 for o in outcomes],
            [f.status for f in fetched],
            [f.content_type for f in fetched],
            [f.final_url for f in fetched],
            [f.opt_out for f in fetched],
            [o.seconds for o in outcomes],
            [o.fetched_at.replace(microsecond=0) for o in outcomes],
        ]
        if self.config.extract_exif:
            values.append(of("exif"))
        if self.config.compute_hash != "sha256":
            values.append([o.examined and o.examined.other_hash for o in outcomes])
        table = pa.table(
            [pa.array(v, f.type) for v, f in zip(values, self.writes(), strict=True)],
            schema=self.writes(),
        )
        return table.append_column("error", error_array(o.error for o in outcomes))
