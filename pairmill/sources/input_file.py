"""One input file: its name, size and version, and the Hive partitions of its path."""

import os
import stat
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

NO_FILE = "a pipe, a socket or a device, which is read once at most; write it to a file"
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Input:
    """One input file: name relative to what was named, bytes, and what tells one version from
    another.
    """

    name: str
    url: str
    size_bytes: int
    version: str
    partitions: tuple[tuple[str, str | None], ...] = ()
    """Hive partitions of its path, `lang=en/day=1` as (("lang", "en"), ("day", "1"))."""
    fault: str = ""
    """Why it can be no input, whatever it holds."""
    beside: bool = False
    """Whether it only lies where a table may name it: size and time of change tell its versions."""


def closed_folder(folder: str, error: OSError, root: str) -> Input:
    """A folder that this user may not look into, as a file that can be no input."""
    name = folder.removeprefix(root).strip("/") or folder
    fault = f"a folder that cannot be looked into: {error.strerror}"
    return Input(name, f"file://{folder}", 0, "", fault=fault)


def found_in_folder(system: Any, path: str, root: str) -> Input:
    """A file that a folder or a glob gave, be it a link that leads nowhere, or in a circle."""
    try:
        return input_of(system, path, root)
    except OSError as error:
        if not (is_local(system) or isinstance(error, FileNotFoundError)):
            raise
        closed = isinstance(error, PermissionError)  # a folder that may be listed, no more
        fault = f"not to be looked at: {error.strerror}" if closed else "a link that leads nowhere"
        place = path.removeprefix(root).lstrip("/")
        return Input(place, system.unstrip_protocol(path), 0, "", fault=fault)


def is_local(system: Any) -> bool:
    """Whether a file system is this machine's."""
    kinds = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
    return "file" in kinds


def facts_of(system: Any, path: str) -> tuple[int, str, str, str]:
    """A file's size, version, address and fault; of a file here one look at its folder's entry."""
    if is_local(system) and path.startswith("/"):
        there = os.stat(path)
        version = str(there.st_mtime) if there.st_mtime else ""
        plain = stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode)
        fault = "" if plain else NO_FILE  # whoever opens a pipe waits
        return there.st_size, version, f"file://{path}", fault
    info = system.info(path)
    keys = ("ETag", "etag", "mtime", "LastModified", "updated")
    version = next((str(info[k]) for k in keys if info.get(k)), "")
    return info.get("size") or 0, version, system.unstrip_protocol(path), ""


def input_of(system: Any, path: str, root: str) -> Input:
    """A file as input: its name below `root`, its size and version, and the Hive partitions of its
    folders.
    """
    size, version, url, fault = facts_of(system, path)
    name = path.removeprefix(root).lstrip("/")
    pairs = (part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
    partitions = tuple(
        (unquote(key), None if value == HIVE_NULL else unquote(value)) for key, value in pairs
    )
    return Input(name, url, size, version, partitions, fault)
