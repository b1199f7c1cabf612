"""How alike two texts are, by what stands in them."""

import itertools
from collections import Counter
from collections.abc import Sequence

from pairmill.texts.words import composed, plain_words

CHRF_ORDER = 6
CHRF_BETA = 2.0


def chrf(text: str, other: str) -> float:
    """chrF2 in [0, 1]: F-score of the character n-grams (1 to 6, recall of `text` counts twice),
    spaces left out (Popović 2015).  For any script; 1 for equal texts.
    """
    one, two = ("".join(composed(t).casefold().split()) for t in (text, other))
    precisions, recalls = [], []
    for size in range(1, CHRF_ORDER + 1):
        mine, theirs = ngrams(one, size), ngrams(two, size)
        if not mine or not theirs:
            break
        common = (mine & theirs).total()
        precisions.append(common / theirs.total())
        recalls.append(common / mine.total())
    if not precisions:
        return float(one == two)
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    if precision + recall == 0:
        return 0.0
    square = CHRF_BETA**2
    return (1 + square) * precision * recall / (square * precision + recall)


def ngrams(text: str, size: int) -> Counter[str]:
    """The runs of `size` characters in a text, and how often each occurs."""
    return Counter(text[i : i + size] for i in range(len(text) - size + 1))


def coverage(text: str, other: str) -> float:
    """Share of a text's words that another text has, too, in [0, 1]: what is added does not count,
    a word that changed does.
    """
    mine, theirs = (Counter(plain_words(t)) for t in (text, other))
    return (mine & theirs).total() / mine.total() if mine else 1.0


def agreement(text: str, other: str) -> float:
    """Dice coefficient of the words and pairs of neighbouring words of two texts, in [0, 1]."""
    one, two = (pieces(t) for t in (text, other))
    total = one.total() + two.total()
    return 2 * (one & two).total() / total if total else 1.0


def pieces(text: str) -> Counter[tuple[str, ...]]:
    """The words of a text and its pairs of neighbouring words, and how often each occurs."""
    words = plain_words(text)
    return Counter([*((w,) for w in words), *itertools.pairwise(words)])


def agreements(texts: Sequence[str]) -> list[float]:
    """Mean agreement of each text with the others; 1 where it stands alone."""
    numbers: dict[object, int] = {}
    sets = [numbered(pieces(text), numbers) for text in texts]
    shares = [[1.0] * len(sets) for _ in sets]
    for i, j in itertools.combinations(range(len(sets)), 2):
        if total := len(sets[i]) + len(sets[j]):
            shares[i][j] = shares[j][i] = 2 * len(sets[i] & sets[j]) / total
    others = [row[:i] + row[i + 1 :] for i, row in enumerate(shares)]
    return [sum(row) / len(row) if row else 1.0 for row in others]


def numbered(counts: Counter[tuple[str, ...]], numbers: dict[object, int]) -> set[int]:
    """A number for each occurrence of each piece, the same in all texts, so that what texts have in
    common is what their sets have.  `numbers`: those that were given.
    """
    given = {numbers.setdefault(piece, len(numbers)) for piece in counts}
    again = ((piece, k) for piece, count in counts.items() for k in range(1, count))
    given.update(numbers.setdefault(one, len(numbers)) for one in again)
    return given
