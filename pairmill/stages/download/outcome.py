"""What became of one row of a download."""

from dataclasses import dataclass
from datetime import datetime

from pairmill.stages.download.answers import Fetched
from pairmill.stages.download.examine import Examined


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
