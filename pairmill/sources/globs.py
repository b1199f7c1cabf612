"""Globs among input files: what one names, the folders that it could not look into, and what below
it the pipeline itself writes.
"""

import functools
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from pairmill.names import place

Written = Callable[[str], str | None]
"""What a folder of this machine is, where what lies in it is no input."""
Closed = dict[str, OSError]
"""Folders that could not be looked into, and why."""


def no_folder(folder: str) -> str | None:
    """Says of no folder that it was written."""
    return None


def globbed(system: Any, path: str) -> tuple[list[str], list[tuple[str, OSError]]]:
    """What a glob names, in name order; and the folders in which it might name more, with why they
    could not be looked into.

    On this machine links to folders lead there, as they do from a folder that is named; a last `**`
    names the folder itself.
    """
    if not isinstance(system, LocalFileSystem):
        return sorted(system.glob(path)), []
    closed: Closed = {}
    root = fixed_folder(path)
    found = [root]
    parts = path[len(root) :].strip("/").split("/")
    for part, behind in zip(parts, [*parts[1:], "**"], strict=True):
        if not part == behind == "**":
            found = list(one_further(found, part, closed))
    return sorted(set(found)), sorted(closed.items())


def one_further(folders: Sequence[str], part: str, closed: Closed) -> Iterator[str]:
    """What one part of a glob, between slashes, names in some folders."""
    if part == "**":
        for folder in folders:
            yield from (place for place, _ in walked(folder, closed))
        return
    matches = re.compile(glob_translate(part)).match
    for folder in (folder.rstrip("/") for folder in folders):
        if not any(c in part for c in "*?["):
            yield from [f"{folder}/{part}"] if is_there(folder, part, closed) else []
            continue
        inner, others = entries(folder, closed)
        yield from (f"{folder}/{name}" for name in (*inner, *others) if matches(name))


def is_there(folder: str, name: str, closed: Closed) -> bool:
    """Whether a folder has something of this name, be it a link that leads nowhere."""
    try:
        os.lstat(f"{folder}/{name}")
    except PermissionError as error:
        closed[folder or "/"] = error
        return False
    except OSError:
        return False
    return True


def walked(folder: str, closed: Closed) -> Iterator[tuple[str, list[str]]]:
    """A folder and those below it, each with the names of its files.  What links lead to a second
    time is passed over, a folder that has a place of its own here stands under it.
    """
    seen: set[str] = set()
    waiting, linked = deque([folder or "/"]), deque[str]()
    while waiting or linked:
        place = (waiting or linked).popleft()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        inner, files = entries(place, closed)
        for name in inner:
            below = f"{place.rstrip('/')}/{name}"
            (linked if os.path.islink(below) else waiting).append(below)
        yield place, files


def entries(folder: str, closed: Closed) -> tuple[list[str], list[str]]:
    """Names of the folders in a folder, and of all else there; none where it is no folder."""
    inner: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder or "/") as found:
            for entry in found:
                try:
                    is_folder = entry.is_dir()
                except OSError:
                    is_folder = False
                (inner if is_folder else others).append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        closed[folder] = error
    return sorted(inner), sorted(others)


def fixed_folder(path: str) -> str:
    """The part of a glob before its first wildcard, up to the last slash."""
    first = min(path.find(c) for c in "*?[" if c in path)
    return path[:first].rpartition("/")[0]


def below_it(pattern: str, own: Sequence[str]) -> list[str]:
    """Those of some folders that lie below a pattern's folder, as names of files there begin."""
    root = root_of(pattern)
    return [f"{f[len(root) + 1 :]}/" for f in map(place, own) if f.startswith(f"{root}/")]


def reached_by_links(pattern: str, own: Sequence[str]) -> Callable[[str], bool]:
    """Whether a file that a pattern gave lies in one of some folders, to which a link leads; not
    where the pattern itself names such a folder, or something in it.
    """
    root = f"{root_of(pattern)}/"
    there = tuple(f for f in (f"{place(f).rstrip('/')}/" for f in own) if not root.startswith(f))
    real = functools.cache(os.path.realpath)

    def lies_there(url: str) -> bool:
        folder = os.path.dirname(url.removeprefix("file://"))
        return url.startswith("file://") and f"{real(folder)}/".startswith(there)

    return lies_there


def folder_around(pattern: str, written: Written) -> Callable[[str], tuple[str | None, str]]:
    """Around a file of this machine: the folder below the one that a pattern names of which
    `written` says what it is, as names of files there begin (None where there is none); and that.
    """
    root = root_of(pattern)

    @functools.cache
    def above(folder: str) -> tuple[str | None, str]:
        if not folder.startswith(f"{root}/"):
            return None, ""
        what = written(folder)
        return (f"{folder[len(root) + 1 :]}/", what) if what else above(os.path.dirname(folder))

    real = functools.cache(os.path.realpath)

    def around(url: str) -> tuple[str | None, str]:
        if not url.startswith("file://"):
            return None, ""
        return above(real(os.path.dirname(url.removeprefix("file://"))))

    return around


def root_of(pattern: str) -> str:
    """The real folder below which a pattern names files."""
    root = pattern
    if any(c in pattern for c in "*?[") and not os.path.exists(pattern):
        root = fixed_folder(pattern)
    return place(root).rstrip("/")
