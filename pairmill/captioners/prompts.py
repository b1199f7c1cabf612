"""Prompts with `{column}` references."""

import json
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.config import Strict
from pairmill.schemas.hashing import digest

DOUBLED = re.compile(r"(?<!\{)\{\{\s*([^\W\d]\w*)\s*\}\}(?!\})")


LONGEST_TOKEN = 100
"""Characters of a control token, at most."""


class BadPrompt(ValueError):
    """A prompt whose references cannot be filled; the message says which."""


class Example(Strict):
    """A turn that shows a model how to answer."""

    user: str = Field(min_length=1, max_length=20_000)
    """What is asked: plain text, in which braces mean nothing."""
    assistant: str = Field(min_length=1, max_length=20_000)
    """The right answer."""


@dataclass(frozen=True)
class Wording:
    """What a model is asked: system turn, examples, and the prompt, with `{column}` references."""

    text: str
    system: str | None = None
    examples: tuple[Example, ...] = ()

    def references(self) -> list[str]:
        """Columns named in it, in order."""
        return list(dict.fromkeys([*referenced(self.system or ""), *referenced(self.text)]))

    def doubled(self) -> list[str]:
        """Names that stand in double braces, as other templates write references."""
        found = (DOUBLED.findall(text) for text in (self.system or "", self.text))
        return [name for names in found for name in names]

    @property
    def digest(self) -> str:
        """16 hex digits that stand for the exact wording."""
        if not self.examples:
            return prompt_id(self.text, self.system)
        turns = [[e.user, e.assistant] for e in self.examples]
        return digest([self.system, turns, self.text], "prompt")


def referenced(prompt: str) -> list[str]:
    """Columns named in a prompt, in order; `{{` and `}}` are plain braces.  Raises BadPrompt."""
    return list(names_in(prompt))


@lru_cache(maxsize=256)
def names_in(prompt: str) -> tuple[str, ...]:
    """As `referenced`; each row asks for it again."""
    names = []
    try:
        for _, name, spec, conversion in string.Formatter().parse(prompt):
            if name is None:
                continue
            if not name.isidentifier() or spec or conversion:
                raise BadPrompt(
                    f"{{{name}}} is no column name; write {{column}}, or {{{{ and }}}} for plain "
                    "braces"
                )
            names.append(name)
    except ValueError as error:
        if isinstance(error, BadPrompt):
            raise
        raise BadPrompt(f"{error}; write {{{{ and }}}} for plain braces") from None
    return tuple(dict.fromkeys(names))


def fill(
    prompt: str,
    values: Mapping[str, object],
    separator: str = ", ",
    neutral: Callable[[str], str] = lambda text: text,
) -> str:
    """The prompt with the row's values in place; they are never read as references themselves.

    `neutral` breaks control tokens in a value; where a value and what stands beside it would make
    one together, a space keeps them apart.
    """
    told = {name: neutral(as_text(value, separator)) for name, value in values.items()}
    text, apart = "", False
    for literal, name, _, _ in string.Formatter().parse(prompt):
        text = beside(text, literal, neutral) if apart else text + literal
        apart = name is not None
        if name is not None:
            text = beside(text, told[name], neutral)
    return text


def beside(text: str, more: str, neutral: Callable[[str], str]) -> str:
    """Both, with a space between them where they would make a control token together."""
    end, begin = text[-LONGEST_TOKEN:], more[:LONGEST_TOKEN]
    whole = neutral(end + begin) == neutral(end) + neutral(begin)
    return text + more if whole else f"{text} {more}"


def as_text(value: object, separator: str) -> str:
    """A value as people write it: lists joined, null as nothing, structs and maps as JSON."""
    if value is None:
        return ""
    if isinstance(value, list) and value and all(isinstance(v, tuple) for v in value):
        value = dict(value)  # a map, as Arrow gives it
    if isinstance(value, (list, tuple)):
        return separator.join(as_text(v, separator) for v in value if v is not None)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        raise BadPrompt("a column of bytes cannot stand in a prompt; name it as `image`")
    return str(value)


def plain_form(value: Any, kind: pa.DataType) -> Any:
    """A value of a type as it is told: floats of fewer than 64 bits as short as they are told apart
    (0.1, which 64 bits hold as 0.10000000149011612), maps as mappings.
    """
    if value is None:
        return None
    if is_short(kind):
        number = np.float32 if pa.types.is_float32(kind) else np.float16
        return float(str(number(value)))
    if pa.types.is_map(kind):
        return {as_key(k, kind.key_type): plain_form(v, kind.item_type) for k, v in value}
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return {f.name: plain_form(value[f.name], f.type) for f in fields}
    return [plain_form(v, kind.value_type) for v in value] if isinstance(value, list) else value


def as_key(value: Any, kind: pa.DataType) -> Any:
    """A map's key as one of a JSON object: numbers and truth values become texts as they do in
    JSON, others as in Python.
    """
    value = plain_form(value, kind)
    return value if isinstance(value, (str, int, float)) else str(value)


def is_short(kind: pa.DataType) -> bool:
    """Whether a type is of floats of fewer than 64 bits."""
    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


@lru_cache(maxsize=256)
def prompt_id(prompt: str, system: str | None = None) -> str:
    """16 hex digits that stand for a prompt's exact wording, its system turn included."""
    return digest(prompt if system is None else [system, prompt], "prompt")
