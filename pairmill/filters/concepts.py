"""Which concepts of a list a text names."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.errors import MissingPackage, StageBroken
from pairmill.filters.concept_list import ConceptList, Inflection, concept_list, read_concepts
from pairmill.filters.concept_texts import SEPARATOR, Match, joined, patterns
from pairmill.filters.word_runs import WordRuns
from pairmill.schemas.arrow import column
from pairmill.schemas.config import FILE, SPEED, StageConfig
from pairmill.stages.base import Stage

AT_ONCE = 2**20
"""Bytes that are searched together."""


class ConceptsConfig(StageConfig):
    """Concepts of a list that a text names: whole words, synonyms, plurals; in Chinese, Japanese,
    Thai and the like by character.

    `{stage: concepts, path: metadata.json, match: metaclip}` is MetaCLIP's substring matching over
    its list of 500,000 entries; `balance` caps what it finds.
    """

    stage: Annotated[Literal["concepts"], SPEED] = "concepts"
    text: str = "text"
    """Column to look at."""
    path: Annotated[str | None, FILE] = None
    """File with a concept a line and synonyms behind it between tabs, or JSON: a list of names, or
    a map of names to lists of synonyms.
    """
    concepts: dict[str, list[str]] = Field({}, max_length=100_000)
    """Name → synonyms, in place of a file."""
    match: Match = "words"
    """`words`: whole words in any case, punctuation aside.  `split`: a word between white space, in
    lower case, as DataComp's text filter looks words up.  `metaclip`: exactly MetaCLIP's rule, with
    case and punctuation.
    """
    inflection: Inflection = "none"
    """`english`: plurals say a concept, too."""
    batch_size: Annotated[int, SPEED] = Field(4096, ge=1, le=65_536)
    """Rows looked at at once."""

    @model_validator(mode="after")
    def one_list(self) -> "ConceptsConfig":
        if (self.path is None) == (not self.concepts):
            raise ValueError("give `path` or `concepts`, one of them")
        return self


class ConceptsStage(Stage):
    """`concepts`: names of the concepts found, each once, in the order of the list;
    `concepts_count`: how many.  Whole words are found by hashes of runs of words, what begins or
    ends in a script without spaces by Aho–Corasick (the crate aho-corasick).
    """

    Config = ConceptsConfig
    prefix = "concepts"
    version = 2
    cpus = 1.0
    actor = True

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        names, count = "concepts that the text names", "how many concepts that are"
        return pa.schema(
            [
                column(self.column(), pa.list_(pa.string()), names, of=self.config.text,
                       role="concepts"),
                column(self.column("count"), pa.int32(), count, "concepts", 0),
            ]
        )  # fmt: skip

    def listed(self) -> ConceptList:
        """The concepts with the forms that say them."""
        found = self.config.concepts or read_concepts(self.name, self.config.path)
        return concept_list(found, self.config.inflection)

    def setup(self) -> None:
        self.finder = Finder(self.name, self.listed(), self.config.match)

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = pl.Series(rows.column(self.config.text)).cast(pl.String)
        row, concept = self.finder(values)
        counts = np.bincount(row, minlength=rows.num_rows).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        names = self.finder.names.take(pa.array(concept))
        lists = pa.ListArray.from_arrays(pa.array(offsets), names)
        return pa.table([lists, pa.array(counts)], schema=self.writes())


class Finder:
    """Finds all forms of all concepts in texts at once."""

    def __init__(self, stage: str, listed: ConceptList, match: Match) -> None:
        forms = patterns([form for form, _ in listed.forms], match)
        said = [(form, number) for form, (_, number) in zip(forms, listed.forms, strict=True)]
        said = [(form, number) for form, number in said if form and SEPARATOR.decode() not in form]
        if not said:
            raise StageBroken(f"stage {stage!r}: no concept of the list holds a word to look for")
        self.match = match
        self.names = pa.array(listed.names, pa.string())
        runs = [one for one in said if is_run(one[0])]
        parts = [one for one in said if not is_run(one[0])]
        self.runs = WordRuns([form.encode()[1:-1] for form, _ in runs]) if runs else None
        self.automaton = automaton(stage, [form for form, _ in parts]) if parts else None
        self.of_runs, self.of_parts = (
            np.array([number for _, number in some], np.int64) for some in (runs, parts)
        )

    def __call__(self, texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """(row, concept) of everything found, int64 each, once and in order."""
        found = [np.zeros(0, np.int64)]
        sizes = np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64))
        for first, last in spans(sizes, AT_ONCE):
            data, ends = joined(texts.slice(first, last - first), self.match)
            place, concept = self.looked(data)
            rows = np.searchsorted(ends, place, side="right") + first
            both = np.sort(rows * len(self.names) + concept)
            found.append(both[np.diff(both, prepend=-1) != 0])
        pairs = np.concatenate(found)
        return pairs // len(self.names), pairs % len(self.names)

    def looked(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """(place, concept) of all that stands in joined texts, int64 each."""
        places, concepts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        if self.runs is not None:
            place, form = self.runs(data)
            places.append(place)
            concepts.append(self.of_runs[form])
        if self.automaton is not None:
            matches = self.automaton.find_matches_as_indexes(data, overlapping=True)
            flat = np.fromiter(chain.from_iterable(matches), np.int64, 3 * len(matches))
            places.append(flat[1::3])
            concepts.append(self.of_parts[flat[0::3]])
        return np.concatenate(places), np.concatenate(concepts)


def is_run(form: str) -> bool:
    """Whether a form stands between spaces, as whole words do."""
    return len(form) > 2 and form[0] == form[-1] == " "


def spans(ends: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """(first, behind the last) of neighbouring texts that have about `size` bytes together."""
    first = 0
    while first < len(ends):
        held = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, held + size, side="right")))
        yield first, last
        first = last


def automaton(stage: str, forms: list[str]) -> Any:
    """Aho–Corasick over the bytes of all forms."""
    try:
        import ahocorasick_rs
    except ModuleNotFoundError:
        raise MissingPackage("ahocorasick_rs", f"stage {stage!r}", "core") from None
    kind = ahocorasick_rs.Implementation.ContiguousNFA  # a DFA is larger and, here, slower
    return ahocorasick_rs.BytesAhoCorasick([f.encode() for f in forms], implementation=kind)
