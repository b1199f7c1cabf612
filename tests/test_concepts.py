"""Concepts in texts: against a search for every form in every text, and MetaCLIP's own rule."""

import json
import random
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.errors import StageBroken
from pairmill.filters.concept_list import plural, read_concepts
from pairmill.filters.concepts import ConceptsConfig, ConceptsStage
from pairmill.filters.word_runs import WordRuns
from pairmill.stage import check_stage

PIECES = st.sampled_from(
    ["red ball", "Ball", "balls", "ball,", "a", " ", "\t", "\n", ".", "`", "-", "car", "CAR", "é",
     "红色", "球", "汽车", "のボール", "İ", "ß", "", "\x00"]
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=8)
ENTRIES = ["red ball", "ball", "car", "Ball", "a", "红色", "球", "é", "ball,", "a."]


def found(texts: list[str], **keys: object) -> list[list[str]]:
    stage = ConceptsStage(ConceptsConfig(**keys))  # type: ignore[arg-type]
    stage.setup()
    answer = stage(pa.table({"text": texts}))
    lists = answer["concepts"].to_pylist()
    assert answer["concepts_count"].to_pylist() == [len(names) for names in lists]
    return lists


def metaclip(text: str, entry: str) -> bool:
    """The published rule: seven marks get spaces, three kinds of white space become one."""
    padded = f" {text} "
    for mark in ",.;:?!`":
        padded = padded.replace(mark, f" {mark} ")
    for blank in "\t\n\r":
        padded = padded.replace(blank, " ")
    return f" {entry} " in padded


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(texts=TEXTS)
def test_metaclips_rule_is_exact(texts: list[str]) -> None:
    expected = [[e for e in ENTRIES if metaclip(t, e)] for t in texts]
    assert found(texts, concepts={e: [] for e in ENTRIES}, match="metaclip") == expected


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(texts=TEXTS)
def test_words_between_white_space_are_those_of_split(texts: list[str]) -> None:
    expected = [[e for e in ("ball", "car", "ball,") if e in t.lower().split()] for t in texts]
    assert found(texts, concepts={"ball": [], "car": [], "ball,": []}, match="split") == expected


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(texts=TEXTS)
def test_whole_words_in_any_case_and_unspaced_scripts_by_character(texts: list[str]) -> None:
    expected = []
    for text in texts:
        plain = text.replace("\x00", " ").lower()
        spaced = [w for w in ("red ball", "ball", "car")
                  if re.search(rf"(?<![a-zß0-9é̇]){w.replace(' ', '[^a-z0-9é红色球汽车のボルーßı̇]+')}(?![a-zß0-9é̇])", plain)]  # fmt: skip
        expected.append(spaced + [w for w in ("红色", "球") if w in plain])
    names = {w: [] for w in ("red ball", "ball", "car", "红色", "球")}
    assert found(texts, concepts=names) == expected


def test_synonyms_and_plurals_say_a_concept_once_in_the_lists_order() -> None:
    concepts = {"car": ["automobile", "Auto"], "leaf": [], "city": [], "person": ["fire-fighter"]}
    texts = [
        "Two cars, an automobile", "leaves & LEAF", "cities; scar autos", "fire fighters", "carleaf",
        "people's car", "",
    ]  # fmt: skip
    assert found(texts, concepts=concepts, inflection="english") == [
        ["car"], ["leaf"], ["car", "city"], ["person"], [], ["car", "person"], [],
    ]  # fmt: skip
    assert found(texts[:1], concepts={"automobiles": []}) == [[]]


def test_capitals_and_small_letters_of_every_script_are_one() -> None:
    concepts = {"Straße": [], "istanbul": [], "οδός": [], "❤️": ["heart"]}
    texts = ["STRASSE", "straße", "İstanbul", "ISTANBUL", "ΟΔΌΣ", "ὁ οδόσ", "sun ☀️", "a heart"]
    assert found(texts, concepts=concepts) == [
        ["Straße"], ["Straße"], ["istanbul"], ["istanbul"], ["οδός"], ["οδός"], [], ["❤️"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "expected"),
    [("red box", "red boxes"), ("fireman", "firemen"), ("toy", "toys"), ("fish", "fish"),
     ("knife", "knives"), ("church", "churches"), ("ふね", "ふね"), ("fly", "flies"),
     ("human", "humans"), ("a German", "a Germans"), ("bookshelf", "bookshelves"), ("oasis", "oases")],
)  # fmt: skip
def test_plurals(word: str, expected: str) -> None:
    assert plural(word) == expected


def test_lists_come_from_files_of_three_forms(tmp_path: Path) -> None:
    lines, names, synonyms = (tmp_path / n for n in ("a.txt", "b.json", "c.json"))
    lines.write_text("car\tautomobile\n\n ball \ncar\tauto\n")
    names.write_text(json.dumps(["car", "ball"]))
    synonyms.write_text(json.dumps({"car": ["automobile", "auto"], "ball": []}))
    assert read_concepts("x", str(lines)) == read_concepts("x", str(synonyms))
    assert read_concepts("x", str(names)) == {"car": [], "ball": []}
    check_stage(ConceptsStage, pa.table({"text": ["a car", "", "ball car"]}), path=str(lines))
    for text in ("{}", "[]", '{"car": "auto"}'):
        names.write_text(text)
        with pytest.raises(StageBroken, match="lists of synonyms"):
            read_concepts("x", str(names))
    with pytest.raises(StageBroken, match="no concept of the list holds a word"):
        found(["x"], concepts={"...": []})


def test_runs_of_words_are_found_wherever_a_long_text_is_cut() -> None:
    forms = [b"a", b"b a", b"a a b", b"cc", b"a", "\u00e9t\u00e9".encode()]
    words = random.Random(0).choices(["a", "b", "cc", "\u00e9t\u00e9", "\0", ""], k=2000)
    data = f" {' '.join(words)} ".encode()
    expected = sorted(
        (at + 1, number)
        for number, form in enumerate(forms)
        for at in range(len(data))
        if data.startswith(b" " + form + b" ", at)
    )
    for piece in (1, 7, 64, 2**20):
        runs = WordRuns(forms)
        runs.piece = piece
        places, numbers = runs(data)
        assert sorted(zip(places.tolist(), numbers.tolist(), strict=True)) == expected
