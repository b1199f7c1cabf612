"""Plain data checked against models, faults in words; and paths made absolute."""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pairmill.plan.document import Document, Path_
from pairmill.plan.explain import explain, kind_of, of_one_kind
from pairmill.schemas.config import FILE, MODEL, PATH, marks_of


def listed(value: Any, path: Path_, document: Document) -> list[Any]:
    """The list at a place; empty, with a fault noted, where something else stands there."""
    if isinstance(value, list):
        return value
    what = f"{path[-1]} is {kind_of(value)}; write a list, each item after a dash"
    document.problem(path, what)
    return []


def validate(kind: type[BaseModel], data: Any, path: Path_, document: Document) -> Any:
    """The model of plain data; None, with pydantic's faults noted, where it does not fit."""
    try:
        found = kind.model_validate(data)
    except ValidationError as error:
        for fault in of_one_kind(error.errors()):
            document.problem((*path, *fault["loc"]), explain(kind, fault))
        return None
    faults = [
        (field, fault)
        for field in type(found).model_fields
        if marks_of(type(found), field) & {PATH, FILE}
        for fault in path_faults(getattr(found, field))
    ]
    for field, fault in faults:
        document.problem((*path, field), f"{field} {fault}")
    return None if faults else found


def path_faults(value: Any) -> list[str]:
    """What is wrong with a path, or several, as they are written."""
    every = value if isinstance(value, list) else [value]
    return [fault for one in every if (fault := path_fault(one))]


def path_fault(value: Any) -> str:
    """What is wrong with a path as it is written, before it is looked for, if anything."""
    if value == "":
        return "is empty; write a path, `.` for the folder of the pipeline file"
    bare = BARE.search(value) if isinstance(value, str) and not os.path.exists(value) else None
    if bare and bare[1] in os.environ:
        return f"holds {bare[0]}; a variable is written ${{{bare[1]}}}"
    return ""


BARE = re.compile(r"\$([A-Za-z_]\w*)")
"""A variable as shells read it."""


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
