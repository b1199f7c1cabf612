"""What can be wrong with the bytes of an image."""


class DecodeError(ValueError):
    """The bytes are no image that can be shown."""


class NotAnImage(DecodeError):
    """The bytes are of another kind: a web page, an SVG, nothing."""


class TooManyPixels(DecodeError):
    """The header promises more pixels than are ever decoded; nothing was."""
