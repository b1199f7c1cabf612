"""The prompts that come with pairmill, by id."""

import difflib
import functools
from pathlib import Path
from typing import Any

from pydantic import Field

from pairmill.captioners.prompts import BadPrompt, Example, Wording, referenced
from pairmill.schemas.config import Strict

BEGINNING = 30
"""Characters of a prompt that no line of the library breaks."""
FILE = Path(__file__).with_name("library.yaml")


class LibraryPrompt(Strict):
    """One prompt: what it is for, where it comes from, and its wording."""

    id: str
    """Name in `prompt: {id: …}`."""
    version: int
    """Raised when the wording changes."""
    purpose: str = Field(alias="for")
    """What it is for."""
    source: str
    """Who asked like this first; the wording is pairmill's."""
    images: bool = False
    """Whether it speaks of an image that comes with it, though it reads texts, too."""
    system: str | None = None
    """System turn."""
    examples: list[Example] = []
    """Turns that show how to answer."""
    text: str
    """What the model is asked."""
    json_schema: dict[str, Any] | None = None
    """What the answer has to fit."""

    @property
    def wording(self) -> Wording:
        """The turns."""
        return Wording(self.text, self.system, tuple(self.examples))

    def reads(self) -> list[str]:
        """Names in the wording that mean columns."""
        return self.wording.references()


@functools.cache
def written() -> str:
    """The library's file, in which the beginning of each prompt stands in one line."""
    return FILE.read_text("utf-8")


@functools.cache
def library() -> dict[str, LibraryPrompt]:
    """Every prompt by its id."""
    from ruamel.yaml import YAML

    found = YAML(typ="safe").load(written())
    prompts = [LibraryPrompt.model_validate(entry) for entry in found]
    for prompt in prompts:
        referenced(prompt.text)
    return {prompt.id: prompt for prompt in prompts}


def prompt_of(name: str) -> LibraryPrompt:
    """The prompt of an id; raises BadPrompt with the nearest one."""
    if name in library():
        return library()[name]
    near = difflib.get_close_matches(name, list(library()), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise BadPrompt(f"unknown prompt {name!r}{hint} (prompts: {', '.join(library())})")


def named(wording: Wording) -> str | None:
    """`id@version` of the library's prompt with just this wording."""
    if any(line[:BEGINNING] not in written() for line in wording.text.splitlines()):
        return None  # and nothing has to be parsed
    return next((f"{p.id}@{p.version}" for p in library().values() if p.wording == wording), None)
