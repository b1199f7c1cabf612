"""What reaches a terminal or a log of this process: no secret, and no control character of
others.
"""

import filecmp
import io
import os
import re
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from pairmill.redaction import redact

CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that could clear a screen, write elsewhere, or turn the direction of a line."""


def printable(text: str) -> str:
    """Text from anywhere for a terminal: control characters as �."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class SafeConsole(Console):
    """A console that shows no secret and no control character, whatever it is given; brackets are
    text, not markup.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments of what is to be shown, secrets and control characters taken out."""
        for segment in super().render(clean(renderable), options):
            if segment.control:
                yield segment
            else:
                yield segment._replace(text=printable(segment.text))


def clean(renderable: Any) -> Any:
    """A text without secrets, before it is wrapped and cut; anything else as it is."""
    if isinstance(renderable, str):
        return redact(renderable)
    if isinstance(renderable, Text) and (plain := redact(renderable.plain)) != renderable.plain:
        return Text(
            plain,
            style=renderable.style,
            justify=renderable.justify,
            overflow=renderable.overflow,
            no_wrap=renderable.no_wrap,
            end=renderable.end,
        )
    return renderable


BEGINS, ENDS = "-----BEGIN", "-----END"
LONGEST_KEY = 2**15
"""Characters of a private key."""


class RedactedStream(io.TextIOBase):
    """Passes text on line by line, without secrets."""

    def __init__(self, target: TextIO) -> None:
        self.target, self.waiting = target, ""

    def write(self, text: str) -> int:
        """Passes on whole lines; the rest of the text, and a private key that has not ended yet,
        wait.
        """
        waiting = self.waiting + text
        whole = max(waiting.rfind("\n"), waiting.rfind("\r")) + 1
        begun = waiting.rfind(BEGINS, 0, whole)
        if begun > waiting.rfind(ENDS, 0, whole) and whole - begun < LONGEST_KEY:
            whole = begun  # a key that goes over several lines is filtered as a whole
        if whole:
            self.target.write(redact(waiting[:whole]))
        self.waiting = waiting[whole:]
        return len(text)

    def flush(self) -> None:
        """Passes on the line that was begun, too: a secret cut by the flush is not recognised."""
        if self.waiting:
            self.target.write(redact(self.waiting))
            self.waiting = ""
        self.target.flush()

    def fileno(self) -> int:
        """The target's descriptor."""
        return self.target.fileno()

    def isatty(self) -> bool:
        """Whether the target is a terminal."""
        return self.target.isatty()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The target's encoding."""
        return self.target.encoding


def redact_streams() -> None:
    """What this process prints from now on goes through the filter."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, RedactedStream):
            setattr(sys, name, RedactedStream(stream))


def redact_file(path: str) -> None:
    """A text file again, without secrets: native code writes past every filter."""
    if not os.path.exists(path):
        return
    part = f"{path}.part"
    how: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with open(path, **how) as old, open(part, "w", **how) as new:
        stream = RedactedStream(new)
        for line in old:
            stream.write(line)
        stream.flush()
    os.unlink(part) if filecmp.cmp(path, part, shallow=False) else os.replace(part, path)


def show_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The traceback of a defect, for `sys.excepthook`."""
    lines = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(printable(redact(lines)))
