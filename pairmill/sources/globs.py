"""Globs among input files: what one names, the folders that it could not look into, and what below
it the pipeline itself writes.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from pairmill.names import place


class TellingDisk(LocalFileSystem):  # type: ignore[misc]
    """This machine's disk; keeps the errors that a walk over its folders leaves out."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[tuple[str, OSError]] = []

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        """A folder's entries."""
        try:
            return super().ls(path, detail, **kwargs)
        except OSError as error:
            self.closed.append((path.rstrip("/"), error))
            raise


def globbed(system: Any, path: str) -> tuple[list[str], list[tuple[str, OSError]]]:
    """What a glob names, in name order; and the folders in which it might name more, with why they
    could not be looked into.
    """
    if not isinstance(system, LocalFileSystem):
        return sorted(system.glob(path)), []
    disk = TellingDisk()
    names = sorted(disk.glob(path))
    closed = dict(disk.closed)
    return names, [(folder, closed[folder]) for folder in sorted(closed) if may_hold(path, folder)]


def may_hold(path: str, folder: str) -> bool:
    """Whether files that a glob names may lie in a folder, or below it."""
    wanted, there = path.split("/"), folder.split("/")
    deep = next((i for i, part in enumerate(wanted) if "**" in part), None)
    if deep is None and len(there) >= len(wanted):
        return False
    depth = len(there) if deep is None else min(deep, len(there))
    return all(named(w, part) for w, part in zip(wanted[:depth], there, strict=False))


def named(pattern: str, part: str) -> bool:
    """Whether one part of a glob, between slashes, names one part of a path."""
    return pattern == part or re.match(glob_translate(pattern), part) is not None


def fixed_folder(path: str) -> str:
    """The part of a glob before its first wildcard, up to the last slash."""
    first = min(path.find(c) for c in "*?[" if c in path)
    return path[:first].rpartition("/")[0]


def below_it(pattern: str, own: Sequence[str]) -> list[str]:
    """Those of some folders that lie below a pattern's folder, as names of files there begin."""
    root = pattern
    if any(c in pattern for c in "*?[") and not os.path.exists(pattern):
        root = fixed_folder(pattern)
    root = place(root).rstrip("/")
    return [f"{f[len(root) + 1 :]}/" for f in map(place, own) if f.startswith(f"{root}/")]
