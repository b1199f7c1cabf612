"""Modules that a pipeline file names, found beside it.

Nothing else beside the file is ever imported: a `pandas.py` there, or a `helper.py` that a named
module wants, stays where it is.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

VARIABLE = "PAIRMILL_MODULES"
"""Tells worker processes: a JSON map of name to folder."""


class NamedModules(MetaPathFinder):
    """Finds the named modules in their folders, before any other place."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds a named top-level module in its folder alone, and no other module."""
        if path is None and fullname in self.folders:
            return PathFinder.find_spec(fullname, [self.folders[fullname]])
        return None

    def add(self, folders: dict[str, str]) -> None:
        """Takes in modules, name → folder, and goes before all other finders."""
        if folders:
            self.folders |= folders
            importlib.invalidate_caches()
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)


NAMED = NamedModules()


def name_module(stage_type: object, folder: Path) -> None:
    """Lets `stage: module:Class` find its module or package in the pipeline file's folder, if it is
    there.
    """
    if not isinstance(stage_type, str) or ":" not in stage_type:
        return
    top = stage_type.partition(":")[0].partition(".")[0]
    if not top.isidentifier() or top in sys.stdlib_module_names or top == "pairmill":
        return
    if (folder / f"{top}.py").is_file() or (folder / top).is_dir():
        NAMED.add({top: str(folder)})


def for_workers() -> str:
    """The value of `VARIABLE`."""
    return json.dumps(NAMED.folders)


def as_told() -> None:
    """In a worker process: finds what the driver found."""
    NAMED.add(json.loads(os.environ.get(VARIABLE) or "{}"))
