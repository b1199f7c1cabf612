"""Plain data checked against models, faults in words; and paths made absolute."""

import difflib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pairmill.plan.yaml_file import Document, Path_
from pairmill.redaction import shown
from pairmill.schemas.config import FILE, MODEL, PATH, marks_of


def listed(value: Any, path: Path_, document: Document) -> list[Any]:
    """The list at a place; empty, with a fault noted, where something else stands there."""
    if isinstance(value, list):
        return value
    what = f"{path[-1]} is a {type(value).__name__}; write a list, each item after a dash"
    document.problem(path, what)
    return []


def validate(kind: type[BaseModel], data: Any, path: Path_, document: Document) -> Any:
    """The model of plain data; None, with pydantic's faults noted, where it does not fit."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        for fault in error.errors():
            document.problem((*path, *fault["loc"]), explain(kind, fault))
        return None


def explain(kind: type[BaseModel], fault: Any) -> str:
    """One pydantic fault in words: what was found, what would be right."""
    place = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        keys = keys_at(kind, fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), keys, 1)
        return (
            f"unknown key {place!r}; "
            + (f"did you mean {near[0]!r}? " if near else "")
            + f"(keys: {', '.join(keys)})"
        )
    if fault["type"] == "missing":
        model = model_at(kind, fault["loc"][:-1])
        field = model.model_fields.get(str(fault["loc"][-1])) if model else None
        return f"the key {place!r} is missing: {field.description if field else 'it is needed'}"
    if fault["type"] == "string_pattern_mismatch":
        pattern = fault["ctx"]["pattern"]
        example = fitting(str(fault["input"]), pattern)
        advice = f"write for example `{example}`" if example else f"it has to fit {pattern}"
        return f"{place}: {fault['input']!r:.80} does not fit; {advice}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{place}: {message.removeprefix('value error, ')}; found {shown(fault['input'], 80)}"


EXAMPLES = ("english_only", "english-only", "4 GB", "$.rows", "MY_TOKEN")


def fitting(given: str, pattern: str) -> str | None:
    """A text that fits a pattern: what was given, its strange characters replaced, or another."""
    plain = (
        unicodedata.normalize("NFKD", given.replace("ß", "ss")).encode("ascii", "ignore").decode()
    )
    near = [re.sub(r"[^A-Za-z0-9]+", joint, plain).strip(joint)[:40] for joint in ("-", "_")]
    candidates = [*near, *(n.lower() for n in near), *EXAMPLES]
    return next((c for c in candidates if c != given and re.search(pattern, c)), None)


def keys_at(kind: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    """Keys that may stand at a place of a model; none where no model stands there."""
    model = model_at(kind, loc)
    return list(model.model_fields) if model else []


def model_at(kind: type[BaseModel], loc: Sequence[Any]) -> type[BaseModel] | None:
    """The model at a place of another, numbers of list items passed by; None if there is none."""
    for step in loc:
        if isinstance(step, int):
            continue
        field = kind.model_fields.get(str(step))
        inner = models_in(field.annotation) if field else []
        if not inner:
            return None
        kind = inner[0]
    return kind


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models in a type: itself, a list's items, a union's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def resolved(config: Any, folder: Path) -> Any:
    """Paths in a file are relative to the file, on whatever folder the command runs."""
    changes: dict[str, Any] = {}
    for field in type(config).model_fields:
        marks = marks_of(type(config), field)
        value = getattr(config, field)
        if value is None or not marks & {PATH, FILE, MODEL}:
            continue
        if isinstance(value, str):
            changes[field] = resolve(value, folder, is_model=MODEL in marks)
        elif isinstance(value, list):
            changes[field] = [resolve(v, folder) for v in value]
        elif isinstance(value, dict):
            changes[field] = {name: resolve(v, folder) for name, v in value.items()}
    return config.model_copy(update=changes) if changes else config


def resolve(value: str, folder: Path, is_model: bool = False) -> str:
    """A path made absolute from a folder; a URL and a hub id stay as they are."""
    if "://" in value or os.path.isabs(value):
        return value
    candidate = folder / os.path.expanduser(value)
    if is_model and not value.startswith((".", "~")) and not candidate.exists():
        return value  # a hub id
    return os.path.normpath(candidate)
