"""What the members of a sample are, by their suffixes: the image, its texts, facts, other files."""

from collections.abc import Callable, Iterable
from typing import Any

from pairmill.sources.json_columns import as_json, parsed
from pairmill.sources.text_stream import wide_mark

MAX_TEXT_BYTES = 2**25
"""Bytes of a text or JSON that is read; more are a sign of hostile input."""
IMAGES = (
    "jpg jpeg png webp avif jxl jp2 j2k heic heif tif tiff bmp gif ppm pgm pbm pnm jfif".split()
)
"""Suffixes of images; of two members without further name the earlier of these is the image."""
TEXTS = ("txt", "caption", "text")
"""Suffixes of a sample's text, the earlier before the later."""
NUMBERS = {"cls", "cls2", "index", "inx", "id"}
"""Suffixes under which webdataset keeps a whole number as text."""
FURTHER_TEXTS = {*TEXTS, *NUMBERS, "transcript", "html", "md", "xml", "csv", "json", "jsonl"}
NOT_THE_IMAGE = (
    "mask", "seg", "segm", "segmentation", "depth", "normal", "normals", "alpha", "matte", "edge",
    "canny", "pose", "label", "labels", "annotation", "anno", "panoptic", "instance", "sem",
    "flow", "disparity", "thumb", "thumbnail", "sketch", "trimap", "heatmap", "saliency",
)  # fmt: skip
"""Words in a suffix (`0.mask.png`, `0.seg_a.png`) by which it is about the image."""
THE_IMAGE = ("image", "img", "rgb", "input", "photo", "original", "color", "jpg", "jpeg")


def image_suffix(suffixes: Iterable[str], wanted: Iterable[str] = ()) -> str | None:
    """The member that is the image, in whatever order they stand; None where there is none.

    `wanted`: suffixes that the user names, the earlier before the later.
    """
    there = set(suffixes)
    if wanted := list(wanted):
        return next((s for s in wanted if s in there), None)
    if plain := next((s for s in IMAGES if s in there), None):
        return plain
    pictures = [s for s in there if s.rpartition(".")[2] in IMAGES]
    likely = [s for s in pictures if not words_of(s) & set(NOT_THE_IMAGE)]
    return min(likely, key=lambda s: (not words_of(s) & set(THE_IMAGE), s), default=None)


def words_of(suffix: str) -> set[str]:
    """The words of a suffix but for its last, `seg_a.0.png` → seg, a, 0."""
    name = suffix.rpartition(".")[0]
    return set("".join(c if c.isalnum() else " " for c in name).split())


def is_text(suffix: str) -> bool:
    """Whether a member is text or JSON, by the last part of its suffix."""
    return suffix.rpartition(".")[2] in FURTHER_TEXTS


def facts_of(
    suffixes: Iterable[str], image: str | None, read: Callable[[str], bytes], bytes_too: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """(values by name, suffixes of texts that were repaired) of all members but the image.

    Keys of the sample's `.json` stand under their names, other members under `.suffix`: text and
    JSON as text, whole numbers as numbers, all else as bytes (none where they are not asked for).
    Raises ValueError where the `.json` is broken.
    """
    facts: dict[str, Any] = {}
    repaired = []
    for suffix in suffixes:
        last = suffix.rpartition(".")[2]
        if suffix == image:
            continue
        if last not in FURTHER_TEXTS:
            facts["." + suffix] = read(suffix) if bytes_too else b""
        elif suffix == "json":
            keys, changed = keys_of(read(suffix))
            facts |= keys
            repaired += [suffix] if changed else []
        else:
            data = read(suffix)
            text, changed = decoded_text(data)
            repaired += [suffix] if changed else []
            facts["." + suffix] = as_number(text) if last in NUMBERS else text
    return facts, repaired


def decoded_text(data: bytes) -> tuple[str, bool]:
    """(a text by its byte order mark, else UTF-8, whether anything in it became U+FFFD)."""
    encoding = wide_mark(data) or "utf-8-sig"
    text = data.decode(encoding, "replace")
    return text, "\ufffd" in text and not is_sound(data, encoding)


def is_sound(data: bytes, encoding: str) -> bool:
    """Whether bytes are text in an encoding as they stand."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def keys_of(data: bytes) -> tuple[dict[str, Any], bool]:
    """(the object of a sample's `.json`, whether texts in it were repaired); what is no object
    stands under the suffix.
    """
    try:
        value, repaired = parsed(data)
    except ValueError as error:
        raise ValueError(f"broken JSON member: {error}") from None
    return (value if isinstance(value, dict) else {".json": as_json(value)}), repaired


def as_number(text: str) -> int | str:
    """The number, if the text is one and nothing else."""
    plain = text.strip()
    sound = plain.isascii() and plain.lstrip("-").isdigit() and len(plain) < 20
    return int(plain) if sound and str(int(plain)) == plain else text


def text_of(facts: dict[str, Any], keys: Iterable[str]) -> tuple[str | None, str | None]:
    """(the caption, the key whose value holds more than it): the first of `keys` that is there."""
    for key in keys:
        value = facts.get(key)
        if isinstance(value, str):
            return value, None
        if isinstance(value, list):
            texts = [v for v in value if isinstance(v, str)]
            if texts:
                return texts[0], key if len(value) > 1 else None
        elif value is not None and not isinstance(value, bytes):
            return as_json(value), None
    return None, None
