"""Regular expressions over a whole column: Polars looks for candidates, Python's `re` decides.

A pattern of Python is turned into one of Rust that finds something wherever Python does, and
perhaps elsewhere: assertions are left out, and of a character beyond ASCII it is taken that it
fits.
So what is said of a text is Python's word, and only few texts are asked.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

try:
    from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_compile as _compiler
    import sre_constants as _constants
    import sre_parse as _parser

ANYTHING = "(?s:.*)"
MOST_TIMES = 8
"""Repetitions that are told apart; a larger pattern is slower to build and finds hardly less."""
ONE_CHARACTER = ("LITERAL", "NOT_LITERAL", "ANY", "IN", "RANGE", "CATEGORY")
BEGIN = ("AT_BEGINNING", "AT_BEGINNING_STRING")


class Candidates:
    """Finds the texts in which one of some patterns finds something."""

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self.patterns = patterns
        looser = "|".join(f"(?:{looser_pattern(p)})" for p in patterns)
        self.looser = pl.col("text").str.contains(looser, strict=True)

    def mentions(self, texts: pa.Array) -> np.ndarray:
        """bool, one a text."""
        mentioned = np.zeros(len(texts), bool)
        if not self.patterns:
            return mentioned
        frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
        try:
            places = np.flatnonzero(frame.select(self.looser).to_series().to_numpy())
        except pl.exceptions.ComputeError:  # a pattern too large for Rust: every text is asked
            places = np.arange(len(texts))
        asked = texts.take(pa.array(places)).to_pylist()
        for search in (pattern.search for pattern in self.patterns):  # a loop in a loop costs twice
            missing = np.array([search(text) is None for text in asked], bool)
            mentioned[places[~missing]] = True
            places = places[missing]
            asked = [asked[i] for i in np.flatnonzero(missing).tolist()]
        return mentioned


def looser_pattern(pattern: re.Pattern[str]) -> str:
    """A pattern of Rust's `regex` that finds something wherever the given one does."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    return looser_sequence(tree, pattern.flags)


def looser_sequence(tree: Any, flags: int) -> str:
    """Nodes one after another."""
    return "".join(looser_node(str(op), value, tree.state, flags) for op, value in tree)


def looser_node(op: str, value: Any, state: Any, flags: int) -> str:
    """One node of a parsed pattern."""
    if op == "LITERAL" and value >= 128 and chr(value).lower() == chr(value).upper():
        return f"\\x{{{value:x}}}"
    if op in ONE_CHARACTER:
        return character(getattr(_constants, op), value, state, flags)
    if op == "BRANCH":
        return f"(?:{'|'.join(looser_sequence(branch, flags) for branch in value[1])})"
    if op == "SUBPATTERN":
        _, added, removed, inner = value
        return ANYTHING if added or removed else f"(?:{looser_sequence(inner, flags)})"
    if op == "ATOMIC_GROUP":
        return f"(?:{looser_sequence(value, flags)})"
    if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = value
        times = f"{{{min(least, MOST_TIMES)},{most if most <= MOST_TIMES else ''}}}"
        return f"(?:{looser_sequence(inner, flags)}){times}"
    if op == "AT":
        begins = str(value) in BEGIN and not flags & re.MULTILINE
        return r"\A" if begins else r"\n?\z" if str(value) == "AT_END" and not flags & re.M else ""
    return "" if op.startswith("ASSERT") else ANYTHING


def character(op: Any, value: Any, state: Any, flags: int) -> str:
    """A class of characters: those of ASCII that Python says fit, of others at least those."""
    node = _parser.SubPattern(state, [(op, value)])
    fits = _compiler.compile(node, flags).fullmatch
    plain = (*map(chr, range(128)), *(related() if is_plain(op, value) else ()))
    points = "".join(f"\\x{{{ord(c):x}}}" for c in plain if fits(c))
    return f"[{points}]" if is_plain(op, value) else f"[{points}\\x{{80}}-\\x{{10ffff}}]"


def is_plain(op: Any, value: Any) -> bool:
    """Whether nothing fits a node but characters of ASCII and their relatives by case."""
    match str(op):
        case "LITERAL":
            return bool(value < 128)
        case "RANGE":
            return bool(value[1] < 128)
        case "IN":
            return all(is_plain(*item) for item in value)
        case _:
            return False


@lru_cache(1)
def related() -> tuple[str, ...]:
    """Characters beyond ASCII that `re.IGNORECASE` may take for one of ASCII, such as the Kelvin
    sign for k.
    """
    every = map(chr, range(0x80, 0x2200))
    return tuple(c for c in every if any(d < "\x80" for d in c.lower() + c.upper() + c.casefold()))
