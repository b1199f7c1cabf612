"""Counts of texts that take short ways are those of the plain definitions."""

import re
from collections import Counter
from math import isqrt

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.filters.text_stats import entropies
from pairmill.texts.facts import bare, keeps, numbers_of, plain_numbers
from pairmill.texts.repetition import character_ngram_ratio, longest_run, word_ngram_ratio
from pairmill.texts.similarity import agreement, chrf
from pairmill.texts.words import plain_words

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
def test_names_that_stand_apart_are_kept_and_no_others(name: str, text: str) -> None:
    apart = rf"(?<![\w'.]){re.escape(name)}(?![\w'.])"
    if re.search(apart, text) or re.search(apart.upper().replace("\\W", "\\w"), text):
        assert keeps(name, text, [])
    within = bare(name).lower() in bare(text).lower()
    behind = re.search(rf"(?<![a-z]){re.escape(bare(name).lower())}", bare(text).lower())
    if not (within and behind):
        assert not keeps(name, text, [])


def test_words_have_their_marks_in_any_script_and_either_form_of_an_accent() -> None:
    texts = ["नमस्ते दुनिया", "தமிழ் மொழி", "بِسْمِ اللَّهِ", "שָׁלוֹם עולם", "می\u200cخواهم", "ที่นี่"]
    counts = [len(plain_words(text)) for text in texts]
    assert counts == [2, 2, 2, 2, 1, 2]
    assert plain_words("Cafe\u0301 a\u0302b") == ["café", "âb"]
    assert (chrf("cafe\u0301", "café"), agreement("cafe\u0301", "café")) == (1.0, 1.0)
    assert plain_words("👨\u200d👩\u200d👧 \u0301a") == ["a"]


@settings(max_examples=300, deadline=None)
@given(st.text("ab '.-_\n3é", max_size=30))
def test_words_without_marks_are_letters_digits_and_what_joins_them(text: str) -> None:
    plain = re.findall(r"[^\W_]+(?:['’.-][^\W_]+)*", text)
    assert plain_words(text) == [word.casefold() for word in plain]


def test_numbers_are_the_same_in_any_digits_and_with_both_separators() -> None:
    assert numbers_of("２０１９ ٢٠١٩ २०१९ 2019") == ["2019"]
    assert numbers_of("$1,234.56 and 1.234,56 and 1234.56") == ["1234.56"]
    assert numbers_of("1.234.567,8 1,2,3.40") == ["1234567.8", "1", "2", "3", "40"]


@given(st.from_regex(r"\d(?:[\d.,]{0,12}\d)?", fullmatch=True))
def test_numbers_lose_separators_of_thousands(written: str) -> None:
    whole = re.fullmatch(r"\d{1,3}(?:[.,]\d{3}){1,8}|\d{1,2}(?:,\d{2}){1,8},\d{3}", written)
    mixed = re.fullmatch(r"(\d{1,3}(?:([.,])\d{3})(?:\2\d{3}){0,7})(?!\2)[.,](\d{1,9})", written)
    parts = [part for part in re.split("[.,]", written) if part]
    if mixed:
        expected = [re.sub(r"[.,]", "", mixed[1]) + f".{mixed[3]}"]
    elif whole:
        expected = ["".join(parts)]
    else:
        expected = [".".join(parts)] if len(re.split("[.,]", written)) == 2 else parts
    found = plain_numbers(written)
    assert [float(one) for one in found] == [float(one) for one in expected]
    assert all(one == "0" or one.strip("0").rstrip(".") != "" for one in found)


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
