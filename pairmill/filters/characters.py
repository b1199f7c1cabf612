"""Texts as one column of characters: what Python says of each, and the words that they make."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from unicodedata import category

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.texts.words import UNSPACED_RANGES

SPACE, DIGIT, SIGN, UPPER, LOWER, ALNUM, APART, FAR = (1 << i for i in range(8))
"""Bits of a character: `str.isspace`, `isdigit`, category P or S, `isupper`, `islower`, `isalnum`,
of a script without spaces between words, and not of ASCII.
"""
AT_ONCE = 2**18
"""Characters that are looked at together; some 30 bytes of memory for each."""


def bits_of(point: int) -> int:
    """What holds of a character."""
    c = chr(point)
    return (
        SPACE * c.isspace()
        + DIGIT * c.isdigit()
        + SIGN * (category(c)[0] in "PS")
        + UPPER * c.isupper()
        + LOWER * c.islower()
        + ALNUM * c.isalnum()
        + APART * any(first <= point <= last for first, last in UNSPACED_RANGES)
        + FAR * (point > 127)
    )


@lru_cache(1)
def basic_plane() -> np.ndarray:
    """uint8: the bits of the first 65,536 characters."""
    return np.array([bits_of(point) for point in range(2**16)], np.uint8)


def bits_of_all(points: np.ndarray) -> np.ndarray:
    """uint8: the bits of each character; those beyond the basic plane are asked once each."""
    found = basic_plane()[np.minimum(points, 2**16 - 1)]
    beyond = points >= 2**16
    if beyond.any():
        different, place = np.unique(points[beyond], return_inverse=True)
        found[beyond] = np.array([bits_of(int(p)) for p in different], np.uint8)[place]
    return found


@dataclass(frozen=True)
class Characters:
    """The characters of some texts, one after another.

    `points`: uint32, code points; `ends`: int64, where each text ends.
    """

    points: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, texts: pa.Array) -> "Characters":
        """Of texts without nulls; raises UnicodeDecodeError where one is no UTF-8."""
        texts = texts.cast(pa.large_string())
        offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
        data = texts.buffers()[2]
        content = data.slice(offsets[0], offsets[-1] - offsets[0]) if data else b""
        raw = np.frombuffer(content, np.uint8)
        # every byte but those that continue a character begins one
        begun = np.concatenate([[0], np.cumsum((raw & 0xC0) != 0x80)])
        plain = str(content, "utf-8").encode("utf-32-le")
        return cls(np.frombuffer(plain, "<u4"), begun[offsets[1:] - offsets[0]])

    @cached_property
    def bits(self) -> np.ndarray:
        """uint8, one a character."""
        return bits_of_all(self.points)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Characters of each text."""
        return np.diff(self.ends, prepend=0)

    def count(self, which: np.ndarray) -> np.ndarray:
        """int32: characters of each text for which the mask holds."""
        found = np.zeros(len(self.ends), np.int32)
        full = self.lengths > 0
        if full.any():
            starts = (self.ends - self.lengths)[full]
            found[full] = np.add.reduceat(which.view(np.uint8), starts, dtype=np.int32)
        return found

    def having(self, bit: int) -> np.ndarray:
        """int32: characters of each text of which a bit holds."""
        return self.count((self.bits & bit) != 0)

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each text: pieces between spaces; words; different words, case folded.

        Where a character of an unspaced script stands, each such character is a word of its own,
        and what has no letter and no digit is none.
        """
        space = (self.bits & SPACE) != 0
        behind = np.concatenate([[True], space[:-1]])  # a space or the text's begin
        behind[self.ends[self.ends < len(space)]] = True
        split = ~space & behind
        apart = (self.bits & APART) != 0
        starts = split
        if apart.any():
            starts = ~space & (behind | apart | np.concatenate([[False], apart[:-1]]))
        first = np.flatnonzero(starts)
        text = np.searchsorted(self.ends, first, "right")
        if apart.any():
            solid = np.bitwise_or.reduceat(self.bits, first) & ALNUM if len(first) else first
            kept = (solid != 0) | (self.count(apart) == 0)[text]
            if not kept.all():
                word = np.cumsum(starts) - 1
                space = space | ~np.append(kept, False)[word]  # word -1: spaces before the first
                starts, text = starts & ~space, text[kept]
        count = len(self.ends)
        return (
            self.count(split),
            np.bincount(text, minlength=count),
            self.different(~space, starts, text),
        )

    def different(self, solid: np.ndarray, starts: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Different words of each text; `solid`: characters of words, `text`: of each word."""
        word = np.cumsum(starts)[solid] - 1
        lines = np.full(len(word) + len(text), ord("\n"), "<u4")
        lines[np.arange(len(word)) + word] = self.points[solid]
        folded = str(lines.tobytes(), "utf-32-le").casefold()
        names = pl.Series([folded]).str.split("\n").explode().head(len(text))
        codes = np.asarray(names.to_arrow().dictionary_encode().indices, np.int64)
        keys = np.sort(text * (len(text) + 1) + codes)
        once = keys[np.diff(keys, prepend=-1) != 0]
        return np.bincount(once // (len(text) + 1), minlength=len(self.ends))


def pieces(texts: pa.Array) -> list[pa.Array]:
    """Texts in slices of about AT_ONCE bytes, each at least one text."""
    sizes = np.cumsum(np.asarray(pc.binary_length(texts)), dtype=np.int64)
    cuts = [0]
    while cuts[-1] < len(texts):
        before = sizes[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(sizes, before + AT_ONCE, "right"))))
    return [texts.slice(a, b - a) for a, b in pairwise(cuts)]
