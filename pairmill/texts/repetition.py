"""How much a text repeats itself."""

from collections import Counter
from collections.abc import Hashable, Sequence
from math import isqrt

from pairmill.texts.words import plain_words, sentences

LONGEST_PHRASE = 8
"""Words of the longest phrase whose repeats in a row are looked for."""
WINDOW = 50
"""Words of the moving window of the type–token ratio (Covington and McFall 2010)."""

WORDS, LETTERS = 5, 10
"""Of the n-grams that are counted."""


def repeated_sentences(text: str) -> float:
    """Share of the sentences that stand in the text before, case and punctuation aside."""
    every = [tuple(plain_words(s)) for s in sentences(text)]
    return 1 - len(set(every)) / len(every) if every else 0.0


def longest_run(words: Sequence[str]) -> int:
    """How often a phrase of one to eight words stands in a row at most; 1 where none repeats."""
    longest = 1 if words else 0
    if len(set(words)) == len(words):
        return longest
    for size in range(1, LONGEST_PHRASE + 1):
        same = 0
        for word, later in zip(words, words[size:], strict=False):
            if word != later:
                same = 0
                continue
            same += 1
            longest = max(longest, same // size + 1)
    return longest


def word_ngram_ratio(words: Sequence[str]) -> float:
    """Share of the word n-grams that occur more than once (as OBELICS counts them)."""
    every = list(zip(*(words[i:] for i in range(WORDS)), strict=False))
    if len(set(every)) == len(every):
        return 0.0
    counts = Counter(every)
    return sum(c for c in counts.values() if c > 1) / max(1, counts.total())


def character_ngram_ratio(text: str) -> float:
    """Share of the commonest character n-grams among all, their number being the square root of
    the different ones, and none of them single (as OBELICS counts them).
    """
    every = [text[i : i + LETTERS] for i in range(len(text) - LETTERS + 1)]
    if len(set(every)) == len(every):
        return 0.0
    counts = Counter(every)
    commonest = (c for _, c in counts.most_common(isqrt(len(counts))))
    return sum(c for c in commonest if c > 1) / max(1, counts.total())


def moving_ratio(words: Sequence[Hashable]) -> float:
    """Mean share of different words in windows of 50 words, moved word by word; of all words where
    there are fewer.
    """
    if len(words) <= WINDOW:
        return len(set(words)) / max(1, len(words))
    counts = Counter(words[:WINDOW])
    different = [len(counts)]
    for at in range(WINDOW, len(words)):
        left = words[at - WINDOW]
        counts[left] -= 1
        if not counts[left]:
            del counts[left]
        counts[words[at]] += 1
        different.append(len(counts))
    return sum(different) / len(different) / WINDOW
