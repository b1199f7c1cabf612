"""What a run tells while it works."""


class Watcher:
    """What a run tells while it works; the display overrides what it shows."""

    def phase(self, title: str, stages: list[str], rows: int) -> None:
        """A phase starts, in which rows are to be decided."""

    def reading(self, rows: int, files: int, of: int) -> None:
        """Rows of the source that were read so far, and how many of its files are done."""

    def note(self, text: str) -> None:
        """A line for people."""

    def done(self) -> None:
        """The run has ended, well or not."""
