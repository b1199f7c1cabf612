"""Texts as one column of characters: what Python says of each, and the words that they make."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from unicodedata import category

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.hash_columns import spread
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
        plain = str(content, "utf-8").encode("utf-32-le")
        lengths = np.asarray(pc.utf8_length(texts))
        return cls(np.frombuffer(plain, "<u4"), np.cumsum(lengths, dtype=np.int64))

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
        """Different words of each text; `solid`: characters of words, `text`: of each word.

        A word is told by a hash, and compared with those of its text alone.  One key holds both,
        the text in as few bits as the number of texts takes: two words of a text are taken for one
        in one of some 2^31 calls of 2^18 characters, if every second character begins a word.
        """
        if not len(text):
            return np.zeros(len(self.ends), np.int64)
        points, first = self.points[solid], np.flatnonzero(starts[solid])
        plain = folds()[np.minimum(points, 2**16 - 1)]
        sums = hashes(plain, first)
        odd = np.unique(np.searchsorted(first, np.flatnonzero(plain == MANY), "right") - 1)
        if len(odd):
            ends = np.append(first[1:], len(points))
            words = [
                str(points[a:b].tobytes(), "utf-32-le").casefold()
                for a, b in zip(first[odd].tolist(), ends[odd].tolist(), strict=True)
            ]
            lengths = np.array([len(word) for word in words])
            letters = np.frombuffer("".join(words).encode("utf-32-le"), "<u4")
            sums[odd] = hashes(letters, np.cumsum(lengths) - lengths)
        left = np.uint64(64 - len(self.ends).bit_length())
        keys = text.astype(np.uint64) << left | sums >> (np.uint64(64) - left)
        keys.sort()
        once = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
        return np.bincount((once >> left).astype(np.int64), minlength=len(self.ends))


def hashes(points: np.ndarray, first: np.ndarray) -> np.ndarray:
    """uint64: a hash of each word; `first`: where each begins among the characters of all."""
    place = np.arange(len(points), dtype=np.uint32)
    place -= np.repeat(place[first], np.diff(first, append=len(points)))
    values = points.astype(np.uint64) | place.astype(np.uint64) << np.uint64(21)
    return np.add.reduceat(spread(values), first)


MANY = 2**32 - 1
"""In place of a character that becomes several without case, or is not in the table."""


@lru_cache(1)
def folds() -> np.ndarray:
    """uint32: the first 65,536 characters without case, MANY where they become several; the last
    place stands for all characters beyond.
    """
    plain = [chr(point).casefold() for point in range(2**16 - 1)]
    return np.array([ord(c) if len(c) == 1 else MANY for c in plain] + [MANY], np.uint32)


def pieces(texts: pa.Array) -> list[pa.Array]:
    """Texts in slices of about AT_ONCE bytes, each at least one text."""
    sizes = np.cumsum(np.asarray(pc.binary_length(texts)), dtype=np.int64)
    cuts = [0]
    while cuts[-1] < len(texts):
        before = sizes[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(sizes, before + AT_ONCE, "right"))))
    return [texts.slice(a, b - a) for a, b in pairwise(cuts)]
