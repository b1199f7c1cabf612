"""Texts as one column of characters: what Python says of each, and the words that they make."""

from collections.abc import Callable
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


PAGE = 2**8
"""Characters that are looked up together, once one of them stands in a text: Unicode has few that
a pipeline's texts have, and to ask Python of 65,536 takes longer than some thousand texts.
"""

MANY_CHARACTERS = 2**24


class BasicPlane:
    """A number for each of the first 65,536 characters; `of_page` gives those of neighbours."""

    def __init__(self, of_page: Callable[[range], np.ndarray], kind: type) -> None:
        self.of_page = of_page
        self.numbers: np.ndarray = np.zeros(2**16, kind)
        self.known = np.zeros(2**16 // PAGE, bool)
        self.passed = 0
        """Characters that were looked for in pages that are not known."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The number of each character; of those beyond that of the last one."""
        points = np.minimum(points, 2**16 - 1)
        if not self.known[: int(points.max(initial=0)) // PAGE + 1].all():
            self.look_up(points)
        return self.numbers[points]

    def look_up(self, points: np.ndarray) -> None:
        """Makes known what is not; all, where texts are so many that looking costs more."""
        self.passed += len(points)
        asked = np.full(len(self.known), self.passed > MANY_CHARACTERS)
        asked[points // PAGE] = True
        for page in np.flatnonzero(asked & ~self.known).tolist():
            these = range(page * PAGE, (page + 1) * PAGE)
            self.numbers[these.start : these.stop] = self.of_page(these)
            self.known[page] = True


BITS = BasicPlane(lambda points: np.array([bits_of(p) for p in points], np.uint8), np.uint8)


def bits_of_all(points: np.ndarray) -> np.ndarray:
    """uint8: the bits of each character; those beyond the basic plane are asked once each."""
    found = BITS(points)
    beyond = points >= 2**16
    if beyond.any():
        different, place = np.unique(points[beyond], return_inverse=True)
        found[beyond] = np.array([bits_of(int(p)) for p in different], np.uint8)[place]
    return found


def is_mark(bits: int) -> bool:
    """Whether a character is no letter, no digit and no space: in ASCII, a sign."""
    return not bits & (ALNUM | SPACE)


COUNTED = (SPACE, DIGIT, SIGN, UPPER, LOWER, FAR, APART)
"""Bits whose characters are counted; marks come behind."""


@lru_cache(2)
def counters(kind: type) -> np.ndarray:
    """uint64: for each byte of bits, in lines, eight counters of the type `kind`, each 0 or 1: sums
    of them are sums of each, as long as none overflows.
    """
    each = [[*(bool(bits & bit) for bit in COUNTED), is_mark(bits)] for bits in range(256)]
    return np.ascontiguousarray(np.array(each, kind).view(np.uint64).T)


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

    @cached_property
    def counts(self) -> np.ndarray:
        """int64, (texts, 8): characters of each text of which a bit of COUNTED holds; its marks."""
        kind = np.uint16 if self.lengths.max(initial=0) < 2**16 else np.uint32
        lines, full = counters(kind), self.lengths > 0
        found = np.zeros((len(self.ends), len(lines)), np.uint64)
        if full.any():
            starts = (self.ends - self.lengths)[full]
            for at, line in enumerate(lines):
                found[full, at] = np.add.reduceat(line[self.bits], starts)
        return found.view(kind).astype(np.int64)

    def having(self, bit: int) -> np.ndarray:
        """int64: characters of each text of which a bit of COUNTED holds."""
        return self.counts[:, COUNTED.index(bit)]

    def marks(self) -> np.ndarray:
        """int64: the same of marks."""
        return self.counts[:, len(COUNTED)]

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each text: pieces between spaces; words; different words, case folded.

        Where a character of an unspaced script stands, each such character is a word of its own,
        and what has no letter and no digit is none.
        """
        solid = (self.bits & SPACE) == 0
        behind = np.concatenate([[True], ~solid[:-1]])  # a space or the text's begin
        behind[self.ends[self.ends < len(solid)]] = True
        split = solid & behind
        apart = (self.bits & APART) != 0
        starts = split
        if apart.any():
            behind |= apart
            behind[1:] |= apart[:-1]
            starts = solid & behind
        first = np.flatnonzero(starts)
        text = np.searchsorted(self.ends, first, "right")
        sums = self.hashed(solid, first)
        if apart.any():
            there = np.bitwise_or.reduceat(self.bits, first) & ALNUM if len(first) else first
            kept = (there != 0) | (self.having(APART) == 0)[text]
            text, sums = text[kept], sums[kept]
        words = np.bincount(text, minlength=len(self.ends))
        pieces = self.count(split) if apart.any() else words
        return pieces, words, self.different(text, sums)

    def hashed(self, solid: np.ndarray, first: np.ndarray) -> np.ndarray:
        """uint64: a hash of each word, case folded.  `solid`: which characters are in words;
        `first`: where each word begins.
        """
        values = LETTERS(self.points)
        values *= solid
        sums = hashes(values, first)
        odd = np.unique(np.searchsorted(first, np.flatnonzero(values == MANY), "right") - 1)
        if len(odd):
            ends = np.append(first[1:], len(values))
            words = [
                str(self.points[a:b][solid[a:b]].tobytes(), "utf-32-le").casefold()
                for a, b in zip(first[odd].tolist(), ends[odd].tolist(), strict=True)
            ]
            lengths = np.array([len(word) for word in words])
            folded = np.frombuffer("".join(words).encode("utf-32-le"), "<u4")
            sums[odd] = hashes(spread(folded.astype(np.uint64)), np.cumsum(lengths) - lengths)
        return sums

    def different(self, text: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Different words of each text; `text`, `sums`: where each word stands, and its hash.

        A word is told by its hash, and compared with those of its text alone.  One key holds both,
        the text in as few bits as the number of texts takes: two words of a text are taken for one
        in one of some 2^31 calls of 2^18 characters, if every second character begins a word.
        """
        left = np.uint64(64 - len(self.ends).bit_length())
        keys = text.astype(np.uint64) << left | sums >> (np.uint64(64) - left)
        keys.sort()
        once = keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys
        return np.bincount((once >> left).astype(np.int64), minlength=len(self.ends))


def hashes(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """uint64: a hash of each word, the sum of its characters' `values`, each times a number that
    its place in the word has; `first`: where each begins among the characters of all.  What stands
    between words has the value 0.
    """
    if not len(first):
        return np.empty(0, np.uint64)
    place = np.arange(len(values), dtype=np.uint32)
    place[first[0] :] -= np.repeat(place[first], np.diff(first, append=len(values)))
    place &= PLACES - 1
    return np.add.reduceat(values * factors()[place], first)


PLACES = 2**12
"""Places of a word that are told apart."""


@lru_cache(1)
def factors() -> np.ndarray:
    """uint64: an odd number for each place in a word."""
    return spread(np.arange(PLACES, dtype=np.uint64)) | np.uint64(1)


MANY = 1
"""In place of the bits of a character that becomes several without case, or is not in the table."""


def letters(points: range) -> np.ndarray:
    """uint64: of characters of the basic plane the bits of what each is without case, well spread,
    or MANY; its last place stands for all characters beyond.
    """
    plain = [chr(point).casefold() for point in points]
    found = spread(np.array([ord(c) if len(c) == 1 else 0 for c in plain], np.uint64))
    alone = np.array([len(c) == 1 for c in plain]) & (np.array(points) < 2**16 - 1)
    return np.where(alone, found, np.uint64(MANY))


LETTERS = BasicPlane(letters, np.uint64)


def pieces(texts: pa.Array) -> list[pa.Array]:
    """Texts in slices of about AT_ONCE bytes, each at least one text."""
    sizes = np.cumsum(np.asarray(pc.binary_length(texts)), dtype=np.int64)
    cuts = [0]
    while cuts[-1] < len(texts):
        before = sizes[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(sizes, before + AT_ONCE, "right"))))
    return [texts.slice(a, b - a) for a, b in pairwise(cuts)]
