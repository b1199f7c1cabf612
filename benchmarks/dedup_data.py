"""The texts of benchmarks/dedup.py, and how a contestant tells cost and recall."""

import resource
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np

THRESHOLD = 0.7
SAMPLE = 2_000
"""Texts whose true pairs are looked for."""


def clock() -> tuple[float, float, int]:
    """Wall and CPU seconds of this process, and the most memory until now, MB: the data."""
    return time.perf_counter(), time.process_time(), peak_mb()


def since(start: tuple[float, float, int]) -> dict[str, float]:
    """What the work since then cost."""
    wall, cpu, data = clock()[0], clock()[1], start[2]
    return {"s": wall - start[0], "cpu_s": cpu - start[1], "data_mb": data, "peak_mb": peak_mb()}


def peak_mb() -> int:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def word(number: int) -> str:
    """Letters alone: some libraries take all digits for one."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(4))


def captions(rows: int) -> list[str]:
    """Texts of 8 to 16 words of a Zipf vocabulary; a fifth are others with a word exchanged."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([word(i) for i in range(20_000)], object)
    weight = 1 / (np.arange(20_000) + 10)
    lengths = rng.integers(8, 17, rows)
    ends = np.cumsum(lengths)
    words = vocabulary[rng.choice(20_000, ends[-1], p=weight / weight.sum())]
    texts = [" ".join(words[a:b]) for a, b in zip(ends - lengths, ends, strict=True)]
    for k in range(5, rows, 5):
        copy = texts[k - 1].split()
        copy[rng.integers(len(copy))] = "zzz"
        texts[k] = " ".join(copy)
    return texts


def shingles_of(text: str) -> set[str]:
    words = text.split()
    return {f"{a} {b}" for a, b in pairwise(words)}


def text_recall(texts: list[str], found: Callable[[int, int], bool]) -> dict[str, float]:
    """Of all pairs at or above the threshold that a sample of the texts has, by exact Jaccard
    similarity with every text, those found; and how many there are.
    """
    step = max(1, len(texts) // SAMPLE)
    sample = {k: shingles_of(texts[k]) for k in range(4, len(texts), step)}
    having: dict[str, list[int]] = {}
    for k, own in sample.items():
        for shingle in own:
            having.setdefault(shingle, []).append(k)
    hits = true = 0
    for other, text in enumerate(texts):
        theirs = shingles_of(text)
        shared = Counter(k for one in theirs & having.keys() for k in having[one] if k != other)
        for k, both in shared.items():
            if both / (len(sample[k]) + len(theirs) - both) >= THRESHOLD:
                true += 1
                hits += found(min(k, other), max(k, other))
    return {"recall": hits / max(1, true), "true_pairs": true}
