"""What became of an address, and of one row of a download."""

from dataclasses import dataclass
from datetime import datetime

from pairmill.stages.download.examine import Examined
from pairmill.stages.download.hosts import Host


@dataclass(frozen=True)
class Fetched:
    """What became of an address; `error` is (class, message), and then there is no body."""

    body: bytes | None = None
    error: tuple[str, str] | None = None
    status: int | None = None
    content_type: str | None = None
    final_url: str | None = None
    opt_out: str | None = None
    retry_after_s: float | None = None
    final: bool = False
    """Another attempt would end alike."""
    host: Host | None = None
    """The host that keeps a place taken until the body is decoded."""


@dataclass(frozen=True)
class Outcome:
    """One row's end: an image, or an error; and what was seen on the way."""

    fetched: Fetched
    examined: Examined | None
    size: int | None
    """Bytes of the raw body."""
    seconds: float
    fetched_at: datetime

    @property
    def error(self) -> tuple[str, str] | None:
        """(error class, message) of fetching, else of decoding; None for an image."""
        return self.fetched.error or (self.examined.error if self.examined else None)
