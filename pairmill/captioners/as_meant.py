"""Values of an answer that miss their schema by their spelling alone, as they are meant."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pairmill.captioners.schema_references import core, plain_type

NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
"""A number with one reading: `1,000` has two."""


def as_meant(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    """The value with what has exactly one reading in the place of what does not fit: the one label
    of a list that differs by case and blanks alone, the number or truth value that stands in
    quotes.  The value itself where nothing is to be read otherwise.
    """
    found = core(schema, root) if isinstance(schema, Mapping) else {}
    if isinstance(value, dict) and isinstance(inner := found.get("properties"), Mapping):
        read = {n: as_meant(v, inner[n], root) if n in inner else v for n, v in value.items()}
        return value if all(read[n] is v for n, v in value.items()) else read
    if isinstance(value, list) and isinstance(items := found.get("items"), Mapping):
        every = [as_meant(v, items, root) for v in value]
        return value if all(a is b for a, b in zip(every, value, strict=True)) else every
    return meant_text(value, found) if isinstance(value, str) else value


def meant_text(text: str, schema: Mapping[str, Any]) -> Any:
    """As `as_meant`, of a text."""
    kinds = schema.get("type")
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        kind = "string"
    else:
        kind = plain_type(schema) or ""
    listed = [schema["const"]] if "const" in schema else schema.get("enum") or []
    if kind == "string":
        same = [one for one in listed if isinstance(one, str) and bare(one) == bare(text)]
        return same[0] if text not in listed and len(same) == 1 else text
    word = text.strip()
    if kind in ("integer", "number") and NUMBER.fullmatch(word):
        return number_of(word)
    if kind == "boolean" and word.casefold() in ("true", "false"):
        return word.casefold() == "true"
    return text


def bare(label: str) -> str:
    """A label without what is no difference."""
    return label.strip().casefold()


def number_of(word: str) -> int | float:
    """The number that a word writes, whole where it is written so."""
    sign, digits = (word[0], word[1:]) if word[0] in "+-" else ("", word)
    whole, point, rest = digits.partition(".")
    plain = f"{'-' * (sign == '-')}{whole.lstrip('0') or '0'}{point}{rest}"
    found: int | float = json.loads(plain)
    return found
