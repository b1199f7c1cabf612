"""The download stage: addresses to images, many at a time."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from pairmill.addresses import without_credentials
from pairmill.schemas.arrow import column
from pairmill.shares import Ask
from pairmill.stages.asynchronous import AsyncStage
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.decoder import DownloadDecoders
from pairmill.stages.download.outcome import Outcome


class DownloadStage(AsyncStage):
    """Bytes are stored as they came, or resized; error classes: dns, connect, tls, timeout,
    http_4xx, http_429, http_5xx, protocol, too_large, not_image, decode, policy.
    """

    Config = DownloadConfig

    version = 3
    cpus = 2.0
    flush_s = 60.0
    ask: Ask | None = None
    """Asks for this worker's share of the whole run's limits; without it, all of them are this
    worker's.
    """

    def reads(self) -> list[str]:
        return [self.config.url, *([self.config.verify_hash] if self.config.verify_hash else [])]

    def writes(self) -> pa.Schema:
        c, image = self.column, self.column("image")
        fields = [
            column(c("image"), pa.large_binary(), "encoded image"),
            column(c("width"), pa.int32(), "width of the stored image", "px", 1, of=image),
            column(c("height"), pa.int32(), "height of the stored image", "px", 1, of=image),
            column(c("original_width"), pa.int32(), "width before resizing", "px", 1, of=image),
            column(c("original_height"), pa.int32(), "height before resizing", "px", 1, of=image),
            column(c("original_bytes"), pa.int64(), "size of the raw bytes", "bytes", 0, of=image),
            column(
                c("image_format"),
                pa.string(),
                "format of the stored image: jpg, png or webp",
                of=image,
            ),
            column(c("sha256"), pa.string(), "SHA-256 of the raw bytes, hex", of=image),
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

    def at_once(self) -> int:
        """`batch_size` of each shard that is under way; most of them wait for their host."""
        return self.config.batch_size * self.overlap

    def setup(self) -> None:
        self.peer = None
        if self.config.engine == "img2dataset":
            from pairmill.stages.download.peer_engine import PeerEngine

            self.peer = PeerEngine(self.config)
        else:
            count = max(1, round(self.config.resources.cpus or self.cpus))
            self.decoders = DownloadDecoders(self.config, count)
            self.waiting = ThreadPoolExecutor(count, thread_name_prefix="decode")
            self.decoders.begin()
        super().setup()

    async def begin(self) -> None:
        if not self.peer:
            from pairmill.stages.download.fetch import Fetcher  # loads aiohttp, for a plan in vain

            self.fetcher = Fetcher(self.config, socket.getaddrinfo, self.ask)

    async def end(self) -> None:
        if not self.peer:
            await self.fetcher.close()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.end_pools()

    def end_pools(self) -> None:
        """Ends threads and processes that decode."""
        if self.peer:
            self.peer.close()
            return
        self.waiting.shutdown()
        self.decoders.close()

    def abandon(self) -> None:
        if (decoders := getattr(self, "decoders", None)) is not None:
            decoders.close()

    async def answer(self, row: dict[str, Any]) -> dict[str, Any]:
        url = row[self.config.url]
        expected = row[self.config.verify_hash] if self.config.verify_hash else None
        if self.peer:
            pool, peer = self.peer.threads, self.peer.one
            return self.columns(await self.loop.run_in_executor(pool, peer, url, expected))
        return self.columns(await self.fetched(url, expected))

    async def fetched(self, url: str, expected: str | None) -> Outcome:
        """What becomes of one address, by pairmill's own engine."""
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

    def columns(self, outcome: Outcome) -> dict[str, Any]:
        """What is stored of an outcome."""
        fetched, examined = outcome.fetched, outcome.examined
        stored = examined.stored if examined else None
        values: dict[str, Any] = {
            "original_bytes": outcome.size,
            "sha256": examined.sha256 if examined else None,
            "http_status": fetched.status,
            "content_type": fetched.content_type,
            "final_url": fetched.final_url,
            "opt_out": fetched.opt_out,
            "download_s": outcome.seconds,
            "fetched_at": outcome.fetched_at.replace(microsecond=0),
        }
        if stored:
            values |= {
                "image": stored.data,
                "width": stored.width,
                "height": stored.height,
                "original_width": stored.original_width,
                "original_height": stored.original_height,
                "image_format": stored.format,
            }
            if self.config.extract_exif:
                values["exif"] = stored.exif
        if self.config.compute_hash != "sha256":
            values[self.config.compute_hash] = examined.other_hash if examined else None
        return {self.column(c): v for c, v in values.items()} | {"error": outcome.error}
