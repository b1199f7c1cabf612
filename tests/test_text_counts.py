"""Counts of texts that take short ways are those of the plain definitions."""

import re
from collections import Counter
from math import isqrt

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.filters.text_stats import entropies
from pairmill.texts.facts import keeps, plain_number
from pairmill.texts.repetition import character_ngram_ratio, longest_run, word_ngram_ratio

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "ü"]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_longest_run_is_that_of_all_phrases(words: list[str]) -> None:
    def repeats(size: int, at: int) -> int:
        phrase, times = words[at : at + size], 1
        while words[at + size * times : at + size * (times + 1)] == phrase:
            times += 1
        return times

    every = [repeats(n, at) for n in range(1, 9) for at in range(len(words) - n + 1)]
    assert longest_run(words) == max(every, default=0)


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_shares_of_repeated_ngrams_are_those_of_a_count(words: list[str]) -> None:
    counts = Counter(tuple(words[i : i + 5]) for i in range(len(words) - 4))
    assert word_ngram_ratio(words) == sum(n for n in counts.values() if n > 1) / max(
        1, counts.total()
    )
    text = " ".join(words)
    letters = Counter(text[i : i + 10] for i in range(len(text) - 9))
    most = [n for _, n in letters.most_common(isqrt(len(letters)))]
    assert character_ngram_ratio(text) == sum(n for n in most if n > 1) / max(1, letters.total())


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["Anna", "a", "O'Neil", "Ünal", "B."]), st.text("aAn O'Neil.ÜB1", max_size=20)
)
def test_names_stand_in_a_text_behind_no_latin_letter(name: str, text: str) -> None:
    wanted = name.lower() if text.islower() else name
    expected = re.search(rf"(?<![A-Za-z]){re.escape(wanted)}", text) is not None
    assert keeps(name, text, []) == expected


@given(st.from_regex(r"\d(?:[\d.,]{0,12}\d)?", fullmatch=True))
def test_numbers_lose_separators_of_thousands(written: str) -> None:
    whole = re.fullmatch(r"\d{1,3}(?:[.,]\d{3}){1,8}", written)
    assert plain_number(written) == re.sub(r"[.,]", "" if whole else ".", written)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=30))
def test_entropy_of_words_is_that_of_their_shares(rows: list[list[str]]) -> None:
    """Bit by bit what a sum over each row's sorted terms gives; rows of like counts share one."""
    found = entropies(pl.Series(rows, dtype=pl.List(pl.String)))
    shares = [np.array(list(Counter(row).values())) / max(1, len(row)) for row in rows]
    terms = [pl.Series(np.sort(-s * np.log2(s)), dtype=pl.Float64) for s in shares]
    np.testing.assert_allclose(found, [t.sum() for t in terms], rtol=1e-15, atol=0)
    again = [entropies(pl.Series([row], dtype=pl.List(pl.String)))[0] for row in rows]
    assert found.tolist() == again
