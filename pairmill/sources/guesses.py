"""Types of columns in text formats, guessed from all values that were looked at."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.string()
EXACT = 2**53
"""Integers beyond it are not all doubles."""
WHOLE = r"^(0|-?[1-9][0-9]{0,19})$"
DECIMAL = r"^-?(0|[1-9][0-9]*)?(\.[0-9]+|\.)?([eE][+-]?[0-9]{1,3})?$|^(nan|NaN|-?inf|-?Infinity)$"
DIGITS = 17
"""A double holds as many; a number with more is kept as text."""


@dataclass
class Guess:
    """What kinds of values a column was seen to hold."""

    kinds: set[str] = field(default_factory=set)
    """Of `bool`, `int`, `float`, `text`, `list`, `object`."""
    low: int = 0
    high: int = 0
    items: "Guess | None" = None
    """Of the elements, where there are lists."""

    def add(self, value: Any) -> None:
        """One value out of JSON."""
        match value:
            case None:
                pass
            case bool():
                self.kinds.add("bool")
            case int():
                self.kinds.add("int")
                self.low, self.high = min(self.low, value), max(self.high, value)
            case float():
                self.kinds.add("float")
            case str():
                self.kinds.add("text")
            case list():
                self.kinds.add("list")
                self.items = self.items or Guess()
                for item in value:
                    self.items.add(item)
            case _:
                self.kinds.add("object")

    def add_parsed(self, values: pa.ChunkedArray) -> None:
        """A column that Arrow's JSON reader found; its timestamps stand for texts."""
        self._add_type(values.type)
        if pa.types.is_integer(values.type):
            span = pc.min_max(values).as_py()
            self.low, self.high = min(self.low, span["min"] or 0), max(self.high, span["max"] or 0)

    def _add_type(self, dtype: pa.DataType) -> None:
        if pa.types.is_list(dtype):
            self.kinds.add("list")
            self.items = self.items or Guess()
            self.items._add_type(dtype.value_type)
        elif pa.types.is_struct(dtype):
            self.kinds.add("object")
        elif pa.types.is_boolean(dtype):
            self.kinds.add("bool")
        elif pa.types.is_integer(dtype):
            self.kinds.add("int")
        elif pa.types.is_floating(dtype):
            self.kinds.add("float")
        elif not pa.types.is_null(dtype):
            self.kinds.add("text")

    def add_texts(self, values: pa.ChunkedArray) -> None:
        """Values of a CSV column."""
        if "text" in self.kinds:
            return
        values = values.drop_null()
        for part in (values.slice(0, 1000), values.slice(1000)):
            if not len(part):
                return
            if pc.all(pc.match_substring_regex(part, WHOLE)).as_py():
                self._add_whole(part)
            elif self._all_decimal(part):
                self.kinds.add("float")
                whole = part.filter(pc.match_substring_regex(part, WHOLE))
                if len(whole):
                    self._add_whole(whole)
            else:
                self.kinds.add("text")
                return

    def _add_whole(self, texts: pa.ChunkedArray) -> None:
        self.kinds.add("int")
        try:
            span = pc.min_max(pc.cast(texts, pa.int64())).as_py()
        except pa.ArrowInvalid:
            numbers = [int(t) for t in texts.to_pylist()]
            span = {"min": min(numbers), "max": max(numbers)}
        self.low, self.high = min(self.low, span["min"]), max(self.high, span["max"])

    @staticmethod
    def _all_decimal(texts: pa.ChunkedArray) -> bool:
        if not pc.all(pc.match_substring_regex(texts, DECIMAL)).as_py():
            return False
        if pc.any(pc.is_in(texts, value_set=pa.array(["", ".", "-", "-."]))).as_py():
            return False
        long = texts.filter(pc.greater(pc.binary_length(texts), DIGITS))
        digits = (re.sub(r"[eE].*|[^0-9]", "", t).lstrip("0") for t in long.to_pylist())
        return all(len(d) <= DIGITS for d in digits)

    def merge(self, other: "Guess") -> None:
        """Takes in what another guess has seen of the same column."""
        self.kinds |= other.kinds
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if other.items:
            self.items = self.items or Guess()
            self.items.merge(other.items)

    def dtype(self, item: pa.DataType = TEXT) -> pa.DataType:
        """The narrowest type in which every value stands as it did in the file; null for none.

        `item`: the type of a list's elements where all lists are empty.
        """
        if not self.kinds:
            return pa.null()
        if self.kinds == {"bool"}:
            return pa.bool_()
        if self.kinds == {"int"}:
            if self.low >= -(2**63) and self.high < 2**63:
                return pa.int64()
            return pa.uint64() if self.low >= 0 and self.high < 2**64 else pa.string()
        if self.kinds <= {"int", "float"}:
            exact = self.low >= -EXACT and self.high <= EXACT
            return pa.float64() if exact else pa.string()
        if self.kinds == {"list"} and self.items is not None and not self.nested():
            found = self.items.dtype()
            return pa.list_(item if pa.types.is_null(found) else found)
        return pa.string()

    def nested(self) -> bool:
        """Whether values are kept as JSON text because they are objects, lists of such, or
        mixed.
        """
        if not self.kinds & {"object", "list"}:
            return False
        inner = self.items.kinds if self.items else set()
        return self.kinds != {"list"} or bool(inner & {"object", "list"})


def merged(guesses: Iterable[Guess]) -> Guess:
    """What several guesses have seen between them."""
    total = Guess()
    for guess in guesses:
        total.merge(guess)
    return total
