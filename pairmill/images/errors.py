"""What can be wrong with the bytes of an image."""

import re

ADDRESS = re.compile(r"<([\w.]+)[^<>]*? at 0x[0-9a-fA-F]+>")


class DecodeError(ValueError):
    """The bytes are no image that can be shown."""


class NotAnImage(DecodeError):
    """The bytes are of another kind: a web page, an SVG, nothing."""


class TooManyPixels(DecodeError):
    """The header promises more pixels than are ever decoded; nothing was."""


def without_addresses(text: str) -> str:
    """A message without addresses in memory, which differ from run to run."""
    return ADDRESS.sub(r"<\1>", text)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters, without addresses in memory."""
    text = without_addresses(str(error).strip())
    return text.splitlines()[0][:200] if text else type(error).__name__
