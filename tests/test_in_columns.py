"""What is computed for whole columns is what was computed row by row: the old functions stand here."""

import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.demo.world import World
from pairmill.filters.candidates import related
from pairmill.filters.characters import AT_ONCE, PAGE, BasicPlane
from pairmill.filters.language import LanguageConfig, LanguageStage, bundled_model
from pairmill.filters.text_rules import BOILERPLATE, URL, TextRulesConfig, TextRulesStage
from pairmill.schemas.hash_columns import row_chances, row_uids
from pairmill.schemas.hashing import row_chance, row_uid

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS, st.none() | st.binary(max_size=300))),
    st.integers(0, 2**16),
)
def test_uids_of_columns_are_those_of_rows(rows: list, bits: int) -> None:
    columns = [
        pa.array([row[i] for row in rows], kind)
        for i, kind in enumerate((pa.string(), pa.large_string(), pa.binary()))
    ]
    wanted = np.array([bits >> i % 16 & 1 for i in range(len(rows))], bool)
    expected = [row_uid(*row) for row in rows]
    assert row_uids(columns).to_pylist() == expected
    some = [uid if want else None for uid, want in zip(expected, wanted, strict=True)]
    assert row_uids(columns, wanted).to_pylist() == some


def test_uid_of_a_row_is_what_it_was() -> None:
    """`surrogatepass` is of Python alone: Arrow's texts hold the same bytes."""
    message = b"\x01" + (3).to_bytes(8, "little") + "\ud800".encode("utf-8", "surrogatepass")
    broken = pa.array([b"\xed\xa0\x80"]).view(pa.string())
    found = row_uids([broken, pa.nulls(1)]).to_pylist()
    assert found == [hashlib.blake2b(message + b"\x00", digest_size=16).hexdigest()]
    assert found == [row_uid("\ud800", None)]
    with pytest.raises(UnicodeDecodeError):
        broken.to_pylist()


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS), st.integers(0, 2**32 - 1), st.text("abc#", max_size=5))
def test_chances_of_columns_are_those_of_rows(uids: list[str], seed: int, salt: str) -> None:
    found = row_chances(pa.array(uids, pa.string()), seed, salt)
    assert found.tolist() == [row_chance(uid, seed, salt) for uid in uids]


PATTERNS = (
    *BOILERPLATE, r"(?i:kelvin)", r"[^a-c]x$", r"\bsß?\b", r"(a|b)\1", r"(?<=k)i", r"^ſ", r"a{2,300}b",
    r"(?=.*z)\w+\Z", r"[a-fй]+k", r"点击", r"\D\W\s{2}", r"(?x) a b # c", r"(?s)^.\n.$", r"(?m)^b$", "",
)  # fmt: skip


class RowByRow:
    """`text_rules` as it was written first, for one text."""

    UNSPACED = re.compile(
        "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
        "\U00020000-\U0002fa1f]"
    )

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = [re.compile(p, re.IGNORECASE) for p in patterns]

    def facts(self, text: str) -> tuple[int, int, int, float, float, float, float, bool, bool]:
        split = text.split()
        words = split if text.isascii() else self.words_of(text)
        solid = max(1, sum(map(len, split)))
        digits = sum(map(str.isdigit, text))
        if text.isascii():
            punctuation = sum(not c.isalnum() and not c.isspace() for c in text)
        else:
            punctuation = sum(unicodedata.category(c)[0] in "PS" for c in text)
        upper, lower = sum(map(str.isupper, text)), sum(map(str.islower, text))
        different = len(Counter(w.casefold() for w in words))
        stripped = text.strip()
        return (
            len(words), len(split), len(text), digits / solid, punctuation / solid, upper / max(1, upper + lower),
            1 - different / len(words) if words else 0.0, URL.search(text) is not None,
            any(p.search(stripped) for p in self.patterns),
        )  # fmt: skip

    def words_of(self, text: str) -> list[str]:
        if not self.UNSPACED.search(text):
            return text.split()
        spaced = self.UNSPACED.sub(lambda m: f" {m.group()} ", text)
        return [w for w in spaced.split() if any(c.isalnum() for c in w)]


def assert_equal_rules(texts: list[str], patterns: Iterable[str] = BOILERPLATE) -> None:
    stage = TextRulesStage(TextRulesConfig(boilerplate=list(patterns)))
    stage.setup()
    old = RowByRow(patterns)
    columns = zip(*map(old.facts, texts), strict=True) if texts else [[] for _ in stage.writes()]
    expected = [pa.array(c, f.type) for c, f in zip(columns, stage.writes(), strict=True)]
    found = stage(pa.table({"text": pa.array(texts, pa.string())}))
    assert found.to_pydict() == pa.table(expected, schema=stage.writes()).to_pydict()


def assert_equal_languages(texts: list[str]) -> None:
    """`language` as it was written first, for one text, with the library's own `predict`."""
    stage = LanguageStage(LanguageConfig())
    stage.setup()
    found = stage(pa.table({"text": pa.array(texts, pa.string())}))
    model = fasttext.load_model(bundled_model())
    answers = [model.predict(re.sub("[ \\t\\n\\f\\r]+", " ", text), k=1) for text in texts]
    codes = [labels[0].removeprefix("__label__") if labels else None for labels, _ in answers]
    scores = [min(float(scores[0]), 1.0) if len(scores) else np.nan for _, scores in answers]
    assert found["lang"].to_pylist() == codes
    assert np.array_equal(found["lang_score"], np.array(scores, np.float32), equal_nan=True)


WORDS = st.sampled_from(
    [
        "img 12.JPG", "ﬃ Straße STRASSE", "www.", "x.com", "ǅ", "ınfo", "a.ıNFO", "httpſ://x", "\u212a.net", "é", "e\u0301",
        "👩‍👩‍👧", "猫と犬", "กรุงเทพฯ", "ၵ", "ខ្មែរ", "𠀀𠀁", "\ufeff", "\u2028", "\x1c", "\x00", "\n", "  ", "٣", "²", "click  here",
        "k", "K", "ſ", "b", "aa", "zz", "点击", "й", "Loading", "_", "-", "!?", "ПРИВЕТ", "مرحبا", "안녕", "\U000e0001",
    ]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    st.lists(TEXTS | st.lists(WORDS, max_size=6).map(" ".join) | st.lists(WORDS).map("".join)),
    st.lists(st.sampled_from(PATTERNS), max_size=4),
)
def test_text_rules_of_any_text_are_those_of_each_row(
    texts: list[str], patterns: list[str]
) -> None:
    assert_equal_rules(texts, patterns)


def test_text_rules_of_the_demos_languages_are_those_of_each_row() -> None:
    world = World(1500)
    texts = [world.row(i).text for i in range(world.rows)]
    assert len({world.row(i).language for i in range(200)}) == 8
    assert_equal_rules([*texts, *(f"{t} http://{i}.test" for i, t in enumerate(texts[:50]))])


def test_a_text_longer_than_what_is_looked_at_at_once_is_counted_whole() -> None:
    assert_equal_rules(["a B\u0301 " * AT_ONCE, "", "x", "字" * 10, "y" * AT_ONCE])


def test_what_python_says_of_characters_is_asked_where_they_stand() -> None:
    asked: list[range] = []

    def of_page(points: range) -> np.ndarray:
        asked.append(points)
        return np.array(points, np.uint64) ** 2

    plane = BasicPlane(of_page, np.uint64)
    points = np.array([65, 0x2019, 66, 2**16 - 1, 2**16, 2**20, 0x2018], np.uint32)
    expected = np.minimum(points, 2**16 - 1).astype(np.uint64) ** 2
    for _ in range(2):
        assert plane(points).tolist() == expected.tolist()
    assert [points.start for points in asked] == [0, 0x2000, 0xFF00]
    plane.passed = 2**40
    assert plane(np.arange(2**16, dtype=np.uint32)).tolist() == [i**2 for i in range(2**16)]
    assert len(asked) == 2**16 // PAGE


def test_a_text_that_is_no_utf_8_raises_as_it_did() -> None:
    stage = TextRulesStage(TextRulesConfig())
    stage.setup()
    broken = pa.array([b"ab\xed\xa0\x80"]).view(pa.string())
    with pytest.raises(UnicodeDecodeError, match="in position 2"):
        stage(pa.table({"text": broken}))


def test_no_character_but_the_known_relatives_is_taken_for_one_of_ascii() -> None:
    """What the search for candidates rests on: asked of Python for every character there is."""
    every = "".join(map(chr, range(0x80, 0x110000)))
    found = set(re.findall("[\\x00-\\x7f]", every, re.IGNORECASE))
    assert found == {"ſ", "\u212a", "ı", "İ"}
    assert found <= set(related())


def test_languages_of_columns_are_those_of_texts() -> None:
    world = World(300)
    texts = [world.row(i).text for i in range(world.rows)]
    broken = [t.replace(" ", sep) for t, sep in zip(texts, itertools.cycle(["\n", "\t  ", " "]))]
    assert_equal_languages([*broken, "", " ", "\n\n", "\x0b\x0b", "\x00 a", "\u2028", "12"])
    assert_equal_languages([])
