"""Rare words and pairs of words, counted by hand, for any cut and order of the rows."""

import random
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.filters.rare_words import RareWordsConfig, RareWordsStage

TEXT = st.lists(st.sampled_from(["a", "Red", "boat,", "at", "SEA", "船", "海", "--"]), max_size=6)


def counted(texts: list[str | None], parts: int = 1, seed: int = 0, **keys: int) -> list[int]:
    stage = RareWordsStage(RareWordsConfig(**keys))
    rows = pa.table({"text": pa.array(texts, pa.string())})
    order = random.Random(seed).sample(range(len(texts)), len(texts))
    cuts = [rows.take(pa.array(order[i::parts], pa.int64())) for i in range(parts)]
    merged = stage.merged(pa.concat_tables([stage.summary(c, stage.learn(None, 0)) for c in cuts]))
    return stage.answer(rows, merged)["rare_words"].to_pylist()


def by_hand(texts: list[list[str]], most: int) -> list[int]:
    marks = str.maketrans("", "", ",-")
    words = [[w for raw in t if (w := raw.lower().translate(marks))] for t in texts]
    said = [[*w, *pairwise(w)] for w in words]
    every = Counter(gram for grams in said for gram in grams)
    ranked = sorted(every.values(), reverse=True)
    least = ranked[min(most, len(ranked)) - 1] if ranked else 1
    return [sum(every[gram] < least for gram in grams) for grams in said]


@given(
    texts=st.lists(TEXT, min_size=1, max_size=12),
    most=st.integers(1, 12),
    parts=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_rare_words_are_those_counted_by_hand(
    texts: list[list[str]], most: int, parts: int
) -> None:
    spoken: list[str | None] = [" ".join(t) for t in texts]
    found = counted([*spoken, None], parts, most, most=most)
    assert found == [*by_hand(texts, most), None]


def test_aligns_rule_refuses_the_text_with_one_rare_pair() -> None:
    texts = ["a red boat"] * 5 + ["a boat red", "a red boat xq7", "A red, boat!", "赤い船"]
    assert counted(texts, times=2) == [0] * 5 + [1 + 1, 1 + 1, 0, 3 + 2]
    assert counted(texts) == [0] * len(texts)  # 100 million: all of them


def test_most_or_times_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        RareWordsConfig(most=0)
