"""Caption quality without references: length, variety, repetition, templates, refusals, and what is
kept of the alt text.
"""

import itertools
import re
from collections import Counter

from pairmill.texts.facts import facts_of, keeps, numbers_of
from pairmill.texts.signs import hedges, leaks, refuses

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
WINDOW = 50
"""Words of the moving window of the type–token ratio (Covington and McFall 2010)."""


def measures(
    texts: list[str], alts: list[str] | None, finish: list[str | None] | None
) -> dict[str, float | int]:
    """Figures of one caption column over some rows; `alts`: the alt texts of the same rows.

    Shares are of captions.  distinct_2: different pairs of neighbouring words over all pairs (Li et
    al. 2016). template_rate: captions that begin with one of the ten commonest openings of four
    words.
    """
    words = [WORD.findall(t) for t in texts]
    lower = [[w.lower() for w in ws] for ws in words]
    lengths = sorted(map(len, words))
    pairs = [p for ws in lower for p in itertools.pairwise(ws)]
    openings = Counter(tuple(ws[:4]) for ws in lower if len(ws) >= 4)
    n = len(texts)
    found: dict[str, float | int] = {
        "captions": n,
        "words_median": lengths[n // 2],
        "words_p95": lengths[min(n - 1, n * 95 // 100)],
        "type_token_ratio": moving_ratio([w for ws in lower for w in ws]),
        "distinct_2": len(set(pairs)) / len(pairs) if pairs else 1.0,
        "template_rate": sum(c for _, c in openings.most_common(10)) / n,
        "duplicate_rate": 1 - len({t.strip().lower() for t in texts}) / n,
        "repetition_rate": sum(map(repeats, lower)) / n,
        "refusal_rate": sum(map(refuses, texts)) / n,
        "hedges_per_100_words": 100 * sum(map(hedges, texts)) / max(1, sum(lengths)),
        "leak_rate": sum(leaks(t) is not None for t in texts) / n,
    }
    if finish:
        found["truncated_rate"] = sum(f == "length" for f in finish) / n
    if alts:
        kept = [
            keeps(fact, text, numbers_of(text))
            for alt, text in zip(alts, texts, strict=True)
            for fact in facts_of(alt, None)
        ]
        if kept:
            found["alt_retention"] = sum(kept) / len(kept)
        ratios = sorted(
            len(w) / max(1, len(WORD.findall(a))) for w, a in zip(words, alts, strict=True)
        )
        found["words_per_alt_word"] = ratios[n // 2]
    return found


def moving_ratio(words: list[str]) -> float:
    """Mean share of different words in windows of 50 words, one window after another."""
    windows = [words[i : i + WINDOW] for i in range(0, max(1, len(words) - WINDOW + 1), WINDOW)]
    return sum(len(set(w)) / max(1, len(w)) for w in windows) / len(windows)


def repeats(words: list[str]) -> bool:
    """Whether some run of four words stands twice in a caption."""
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return len(set(runs)) < len(runs)
