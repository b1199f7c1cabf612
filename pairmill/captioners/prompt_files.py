"""Prompts in files of their own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pairmill.captioners.prompts import BadPrompt
from pairmill.texts.files import text_of

ALTERNATIVES = ("constrained-str", "PromptId")
"""Where pydantic's place of a fault goes on to say which of two types it tried."""


def read_wording(file: str) -> dict[str, Any]:
    """The keys that a prompt file sets: a YAML or JSON file's `prompt`, `system`, `examples` and
    `json_schema`; any other file is the prompt itself.

    Raises BadPrompt.
    """
    path = Path(file)
    try:
        text = text_of(file)
    except (OSError, ValueError) as error:
        raise BadPrompt(f"the prompt file {file} cannot be read: {error}") from None
    if not text.strip():
        raise BadPrompt(f"the prompt file {file} is empty")
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        return {"prompt": text.strip("\n")}
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise BadPrompt(f"the prompt file {file} is no YAML: {error}") from None
    known = {"prompt", "system", "examples", "json_schema"}
    if not isinstance(found, dict) or "prompt" not in found or set(found) - known:
        raise BadPrompt(f"the prompt file {file} must hold `prompt`, and may hold {sorted(known)}")
    return found


@contextlib.contextmanager
def prompt_file_faults(file: str) -> Iterator[None]:
    """What is wrong with the keys that a file sets, as one BadPrompt with the file's name."""
    try:
        yield
    except ValidationError as error:
        found: dict[str, str] = {}
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join(str(part) for part in one["loc"] if part not in ALTERNATIVES)
            message = one["msg"].removeprefix("Value error, ")
            found.setdefault(place, f"{place}: {message}" if place else message)
        raise BadPrompt(f"the prompt file {file}: {'; '.join(found.values())}") from None
