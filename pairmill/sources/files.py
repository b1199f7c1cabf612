"""Input files: what a path, folder, glob or list names, and what of it is data."""

import fnmatch
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import fsspec

from pairmill.errors import PairmillError, first_line
from pairmill.sources.faults import NoInput
from pairmill.sources.globs import (
    Closed,
    Written,
    below_it,
    fixed_folder,
    folder_around,
    globbed,
    no_folder,
    reached_by_links,
    walked,
)
from pairmill.sources.input_file import (
    Input,
    closed_folder,
    found_in_folder,
    input_of,
    is_local,
)
from pairmill.texts.files import lines_in

LIST_SUFFIXES = (".txt", ".list", ".lst")
SIDE_FILES = (
    "readme*", "license*", "licence*", "notice*", "changelog*", "citation*", "manifest.json",
    "croissant.json", "dataset_info.json", "dataset_infos.json", "state.json", "sizes.json",
    "index.json", "*_stats.json", "*.stats.json", "*.npz", "*.npy", "*.md", "*.yaml", "*.yml",
    "*.crc", "*.md5", "*.sha256", "*.lock", "*.log", "*.py", "*.sh", "thumbs.db", "desktop.ini",
)  # fmt: skip
"""What lies beside the data in published folders and is no data itself."""
IS_SIDE_FILE = re.compile("|".join(map(fnmatch.translate, SIDE_FILES))).match


@dataclass
class Listing:
    """The files to read, in name order, and those left out with the reason."""

    files: list[Input] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def list_inputs(
    patterns: Iterable[str],
    reads: Callable[[str], bool] = lambda name: True,
    own: Sequence[str] = (),
    written: Written = no_folder,
) -> Listing:
    """The files behind paths, folders, globs, fsspec URLs and file lists, each once.

    `reads` tells by its name whether a source knows a file's format; it is not asked about files
    that are named in full.  `own`: folders that the pipeline writes; what lies in them is no input
    where a folder above them, or a glob, gives it; nor what lies in a folder below it of which
    `written` says what it is.  Raises NoInput where a pattern gives nothing.
    """
    listing = Listing()
    patterns = list(patterns)
    for pattern in patterns:
        before = len(listing.files)
        below_own, linked = below_it(pattern, own), reached_by_links(pattern, own)
        around = folder_around(pattern, written)
        for item, given in reached(pattern, reads):
            why = "written by this pipeline"
            folder = next((f for f in below_own if item.name.startswith(f)), None)
            if folder is None and not given and linked(item.url):
                folder = f"{item.name.rpartition('/')[0]}/"
            if folder is None and not given:
                folder, why = around(item.url)
            if folder is not None and not given:
                listing.skipped.append((folder, why))
                continue
            reason = unusable(item) or (None if given else left_out(item.name, reads))
            if reason is None:
                listing.files.append(item)
            else:
                listing.skipped.append((item.name.encode("utf-8", "replace").decode(), reason))
        if len(listing.files) == before:
            raise NoInput(nothing_found(pattern, listing.skipped))
    listing.files = list(with_distinct_names(once_each(listing.files)))
    listing.skipped = sorted(set(listing.skipped))
    return listing


def reached(pattern: str, reads: Callable[[str], bool]) -> Iterator[tuple[Input, bool]]:
    """The candidates of a pattern; raises NoInput where the store behind it cannot be asked."""
    try:
        yield from candidates(pattern, reads)
    except PairmillError:
        raise
    except ImportError as error:
        reason = first_line(error)
        if pattern.startswith(("s3://", "gs://")):
            reason = f"pip install 'pairmill[cloud]' ({reason})"
        raise NoInput(f"{pattern} needs a package that is not there: {reason}") from None
    except Exception as error:  # each store has errors of its own
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise NoInput(f"{pattern} cannot be reached: {reason}; is the address right?") from None


def nothing_found(pattern: str, skipped: list[tuple[str, str]]) -> str:
    """The message where a source's path matches no file that is read, with what was left out and
    why.
    """
    if not skipped:
        return f"source path {pattern} matches no file"
    names = ", ".join(f"{name} ({reason})" for name, reason in skipped[:5])
    pictures = any(reason == OTHER and name.lower().endswith(PICTURES) for name, reason in skipped)
    hint = "; `type: folder` reads pictures" if pictures else ""
    return f"source path {pattern} matches no file that can be read; left out: {names}{hint}"


OTHER = "another format"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def unusable(item: Input) -> str | None:
    """Why a file can be no input whatever it holds, or None."""
    if item.fault:
        return item.fault
    try:
        item.url.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8; rename it"
    return None


def left_out(name: str, reads: Callable[[str], bool]) -> str | None:
    """Why a file that a folder or glob gave is no data, or None."""
    if hidden := next((p for p in name.split("/") if p.startswith(("_", "."))), None):
        return f"hidden: {hidden}"
    base = name.rsplit("/", 1)[-1].lower()
    if IS_SIDE_FILE(base):
        return "side file"
    return None if reads(name) else OTHER


def candidates(pattern: str, reads: Callable[[str], bool]) -> Iterator[tuple[Input, bool]]:
    """(file, whether it was named in full) behind one pattern; names are relative to its folder."""
    system, path = fsspec.core.url_to_fs(pattern)
    path = path.rstrip("/") or path
    if any(c in path for c in "*?[") and not system.exists(path):
        root = fixed_folder(path)
        names, closed = globbed(system, path)
        there = os.path.exists(root) or not is_local(system)
        yield from ((closed_folder(*of, root), False) for of in closed if there)
        for name in names:
            if system.isdir(name):
                yield from ((item, False) for item in below(system, name, root))
            else:
                yield found_in_folder(system, name, root), False
    elif system.isdir(path):
        yield from ((item, False) for item in below(system, path, path))
    elif system.exists(path):
        item = input_of(system, path, path.rpartition("/")[0])
        if path.lower().endswith(LIST_SUFFIXES) and not (reads(path) or item.fault):
            yield from listed(system, path, pattern, reads)
        else:
            yield item, True


def listed(
    system: Any, path: str, pattern: str, reads: Callable[[str], bool]
) -> Iterator[tuple[Input, bool]]:
    """The files that a text file names, one a line, relative to the list's own folder."""
    folder = pattern.rpartition("/")[0]
    try:
        lines = list(lines_in(system.cat_file(path)))
    except ValueError as error:
        raise NoInput(f"{path} is read as a list of input files, and is none: {error}") from None
    for number, line in lines:
        name = line.strip()
        if name.startswith("#"):
            continue
        place = name if "://" in name or os.path.isabs(name) else f"{folder}/{name}"
        if name.lower().endswith(LIST_SUFFIXES):
            raise NoInput(f"{path} line {number}: a list within a list, {name}")
        address = "://" in place and not any(c in place for c in "*?[")
        found = [] if address and not reads(place) else list(candidates(place, reads))
        if not found:
            raise NoInput(
                f"{path} is read as a list of input files, but its line {number} names none: "
                f"{name[:200]!r} (for a text file of data, give its format: `format: csv`)"
            )
        yield from found


def below(
    system: Any, folder: str, root: str, wanted: Callable[[str], bool] = bool
) -> Iterator[Input]:
    """Every file below a folder whose name is `wanted`, in name order; a folder that links lead to
    twice is walked once.
    """
    if is_local(system):
        closed: Closed = {}
        names = [
            f"{place.rstrip('/')}/{name}"
            for place, files in walked(folder, closed)
            for name in filter(wanted, files)
        ]
        yield from (closed_folder(where, error, root) for where, error in closed.items())
    else:
        names = [n for n in system.find(folder) if not n.endswith("/") and wanted(n)]
    yield from (found_in_folder(system, name, root) for name in sorted(names))


def once_each(files: list[Input]) -> Iterator[Input]:
    """Files in the order in which they were named, each only the first time."""
    seen: set[str] = set()
    folders = functools.cache(os.path.realpath)
    for item in files:
        place = item.url
        if place.startswith("file://"):
            folder, name = os.path.split(place.removeprefix("file://"))
            place = os.path.join(folders(folder), name)
            place = os.path.realpath(place) if os.path.islink(place) else place
        if place not in seen:
            seen.add(place)
            yield item


def with_distinct_names(files: Iterable[Input]) -> Iterator[Input]:
    """Files whose names agree get as many folders of their path as tell them apart."""
    files = list(files)
    names = [item.name for item in files]
    for depth in range(1, 64):
        counts: dict[str, int] = {}
        for name in names:
            counts[name] = counts.get(name, 0) + 1
        if all(count == 1 for count in counts.values()):
            break
        for i, item in enumerate(files):
            if counts[names[i]] > 1:
                parts = item.url.split("/")
                names[i] = "/".join(parts[-(item.name.count("/") + 1 + depth) :])
    return (replace(item, name=name) for item, name in zip(files, names, strict=True))
