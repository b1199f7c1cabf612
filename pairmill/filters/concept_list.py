"""Lists of concepts: names, their synonyms and plurals, read from a file or given."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pairmill.errors import StageBroken
from pairmill.texts.files import decoded, lines_in

Inflection = Literal["none", "english"]
IRREGULAR = {
    "child": "children", "foot": "feet", "goose": "geese", "man": "men", "mouse": "mice",
    "ox": "oxen", "person": "people", "tooth": "teeth", "woman": "women", "calf": "calves",
    "elf": "elves", "half": "halves", "hoof": "hooves", "knife": "knives", "leaf": "leaves",
    "life": "lives", "loaf": "loaves", "scarf": "scarves", "self": "selves", "shelf": "shelves",
    "thief": "thieves", "wife": "wives", "wolf": "wolves", "cactus": "cacti", "hero": "heroes",
    "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "echo": "echoes",
    "quiz": "quizzes", "axis": "axes",
}  # fmt: skip
"""Plurals that no rule gives."""
ENDINGS = ("man", "woman", "child", "wife", "knife", "shelf", "wolf")
"""Those of IRREGULAR that end other words as well: snowman, bookshelf."""
NO_MAN = ("human", "german", "roman", "norman", "ottoman", "shaman", "talisman", "caiman")
"""Words that end so and have a plain plural."""
SAME = frozenset("fish sheep deer species series aircraft moose salmon trout bison".split())
"""Words that are their own plural."""


@dataclass(frozen=True)
class ConceptList:
    """`names` of the concepts in order, and the `forms` that say each: (form, number of
    concept).
    """

    names: tuple[str, ...]
    forms: tuple[tuple[str, int], ...]


def concept_list(
    concepts: Mapping[str, Sequence[str]], inflection: Inflection = "none"
) -> ConceptList:
    """Concepts with their synonyms; with `english` inflection each form's plural says it, too."""
    names = tuple(concepts)
    forms: dict[tuple[str, int], None] = {}
    for number, name in enumerate(names):
        for form in (name, *concepts[name]):
            if not form.strip():
                continue
            forms[form, number] = None
            if inflection == "english":
                forms[plural(form), number] = None
    return ConceptList(names, tuple(forms))


def plural(phrase: str) -> str:
    """The plural of an English phrase: of its last word."""
    head, space, word = phrase.rpartition(" ")
    return head + space + plural_word(word)


def plural_word(word: str) -> str:
    """The plural of an English noun, by rule unless the table knows it."""
    low = word.lower()
    for ending, form in IRREGULAR.items():
        if low == ending or (
            ending in ENDINGS and low.endswith(ending) and not low.endswith(NO_MAN)
        ):
            return word[: -len(ending)] + form
    if not low.isascii() or not low[-1:].isalpha() or low in SAME:
        return word
    if low.endswith("sis"):
        return word[:-2] + "es"
    if low.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if low.endswith("y") and low[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def read_concepts(stage: str, path: str) -> dict[str, list[str]]:
    """A file of concepts, name → synonyms; raises StageBroken where it is none.

    JSON: a list of names (MetaCLIP's `metadata.json`), or a map of names to lists of synonyms.
    Any other file: a concept a line, synonyms behind it between tabs (`car<TAB>automobile`).
    """
    try:
        data = Path(path).read_bytes()
        if Path(path).suffix == ".json":
            return from_json(stage, path, json.loads(decoded(data)))
        lines = [line.split("\t") for _, line in lines_in(data)]
    except (OSError, ValueError) as error:
        raise StageBroken(f"stage {stage!r}: {path} cannot be read: {error}") from None
    found: dict[str, list[str]] = {}
    for name, *synonyms in lines:
        if name.strip():
            found.setdefault(name.strip(), []).extend(s.strip() for s in synonyms if s.strip())
    if not found:
        raise StageBroken(f"stage {stage!r}: {path} names no concept")
    return found


def from_json(stage: str, path: str, content: Any) -> dict[str, list[str]]:
    """Concept → synonyms of a JSON file's content; raises StageBroken where it is neither form."""
    wrong = StageBroken(
        f"stage {stage!r}: {path} holds neither a list of names nor a map of names to lists of "
        "synonyms"
    )
    if isinstance(content, list):
        content = {name: [] for name in content if isinstance(name, str)} if content else {}
    if not isinstance(content, dict) or not content:
        raise wrong
    for name, synonyms in content.items():
        if not isinstance(synonyms, list) or not all(isinstance(s, str) for s in synonyms):
            raise StageBroken(f"{wrong}: {name!r} has {synonyms!r:.40}")
    return content
