"""`engine: img2dataset`: that package's own fetching and resizing inside the stage, for those who
want exactly its images.

It has no protection against private addresses, decompression bombs or crashing decoders, and no
manners towards hosts: see docs/download.md.
"""

import hashlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from pairmill.errors import MissingPackage, without_addresses
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.examine import Examined, digest
from pairmill.stages.download.imaging import Stored
from pairmill.stages.download.outcome import Fetched, Outcome

CLASSES = (
    (r"HTTP Error 429", "http_429"),
    (r"HTTP Error 4\d\d", "http_4xx"),
    (r"HTTP Error 5\d\d", "http_5xx"),
    (r"X-Robots-Tag", "policy"),
    (r"timed out", "timeout"),
    (r"Name or service not known|name resolution|getaddrinfo|nodename", "dns"),
    (r"SSL|CERTIFICATE", "tls"),
    (r"unknown url type|no host given|Invalid URL", "policy"),
    (r"BadStatusLine|LineTooLong|got more than \d+ headers", "protocol"),
)
RESIZER_CLASSES = {
    "image too small": "policy",
    "image area too large": "too_large",
    "aspect ratio too large": "policy",
}


class PeerEngine:
    """That package's way from an address to an outcome, in `threads`."""

    def __init__(self, options: DownloadConfig) -> None:
        try:
            from img2dataset.downloader import download_image_with_retry
            from img2dataset.resizer import Resizer
        except ImportError:
            raise MissingPackage("img2dataset", "engine: img2dataset", "img2dataset") from None
        self.options, self.download = options, download_image_with_retry
        self.resizer = Resizer(
            image_size=options.image_size or 0,
            resize_mode=options.resize_mode if options.image_size else "no",
            resize_only_if_bigger=options.resize_only_if_bigger,
            encode_quality=options.encode_quality,
            encode_format=options.encode_format,
            skip_reencode=options.skip_reencode,
            min_image_size=options.min_image_size,
            max_image_area=options.max_image_area,
            max_aspect_ratio=options.max_aspect_ratio,
        )
        self.threads = ThreadPoolExecutor(
            min(options.connections, 64), thread_name_prefix="img2dataset"
        )
        self.directives = options.disallowed_header_directives if options.opt_out != "allow" else []

    def close(self) -> None:
        """Waits for the threads to end; what they have not begun is left."""
        self.threads.shutdown(cancel_futures=True)

    def one(self, url: str, expected: str | None) -> Outcome:
        """Outcome of one address; `expected`: the hash that its body must have, if any."""
        start, o = time.monotonic(), self.options
        _, stream, error = self.download(
            (0, url), o.timeout, o.retries, o.user_agent_token, self.directives
        )
        seen, size, fetched = None, None, Fetched(error=classify(error))
        if stream is not None:
            body = stream.getvalue()
            size, fetched = len(body), Fetched(status=200)
            seen = self.examined(stream, body, expected)
            stream.close()
        return Outcome(fetched, seen, size, time.monotonic() - start, datetime.now(timezone.utc))

    def examined(self, stream: Any, body: bytes, expected: str | None) -> Examined:
        """A body resized by the package, or the error class of why it is not."""
        sha256 = hashlib.sha256(body).hexdigest()
        other = (
            None
            if self.options.compute_hash == "sha256"
            else digest(body, self.options.compute_hash)
        )
        if expected and expected.lower() != digest(
            body, {32: "md5", 128: "sha512"}.get(len(expected), "sha256")
        ):
            return Examined(sha256, other, None, ("policy", "hash mismatch"))
        data, width, height, original_width, original_height, error = self.resizer(stream)
        if error is not None:
            return Examined(
                sha256,
                other,
                None,
                (RESIZER_CLASSES.get(error, "decode"), without_addresses(str(error))),
            )
        return Examined(
            sha256,
            other,
            Stored(
                data,
                width,
                height,
                original_width,
                original_height,
                self.options.encode_format,
                None,
            ),
            None,
        )


def classify(message: str | None) -> tuple[str, str] | None:
    """The error class of img2dataset's message."""
    if message is None:
        return None
    kind = next((kind for pattern, kind in CLASSES if re.search(pattern, message)), "connect")
    return kind, without_addresses(message)
