"""A workspace's format, what is stored in it, who uses it, and what nobody uses any more."""

import os
import re
from dataclasses import dataclass
from typing import Any

from pairmill.errors import RunError, StrangeFile
from pairmill.version import __version__
from pairmill.workspace.storage import SIGN, Storage

FORMAT = 1
OURS = re.compile(r"^(?:[\w-]+\.parquet|(?:pool|stage|settings|table|shards?|lease)\.json|\.lock)$")
"""Names of files of a pool or column set."""


class NewerWorkspace(RunError):
    """The workspace was written by a newer pairmill."""


@dataclass(frozen=True)
class StoredSet:
    """A column set or pool: its folder, bytes, files, and the runs that refer to it."""

    folder: str
    bytes: int
    files: int
    runs: tuple[str, ...]


def open_workspace(root: str) -> Storage:
    """The workspace's storage; a new one gets its format version, a newer one is refused."""
    storage = Storage(root)
    if storage.exists(SIGN):
        check_format(storage)
    else:
        storage.write_json(SIGN, {"format_version": FORMAT, "pairmill": __version__})
    return storage


def check_format(storage: Storage) -> None:
    facts = storage.read_json(SIGN)
    if facts.get("format_version", 0) > FORMAT:
        raise NewerWorkspace(
            f"{storage.root} has workspace format {facts['format_version']}, written by pairmill {facts.get('pairmill')}; "
            f"this is pairmill {__version__} with format {FORMAT}: upgrade it, or use another workspace"
        )


def existing_workspace(root: str) -> Storage:
    """A workspace that is there; raises RunError where it is none."""
    storage = Storage(root)
    if not storage.exists(SIGN):
        raise RunError(f"{root} is no pairmill workspace (it has no workspace.json)")
    check_format(storage)
    return storage


def read_plan(storage: Storage, folder: str) -> dict[str, Any]:
    """plan.json of a run's folder.  Raises StrangeFile: gc must not guess what is in use."""
    found = storage.read_json(f"{folder}/plan.json")
    stages = found.get("stages") if isinstance(found, dict) else None
    if (
        not isinstance(stages, list)
        or not isinstance(found.get("pool"), str)
        or not all(
            isinstance(s, dict)
            and isinstance(s.get("name"), str)
            and isinstance(s.get("column_set"), str | None)
            and isinstance(s.get("keep"), str | None)
            for s in stages
        )
    ):
        raise StrangeFile(
            f"{storage.path(f'{folder}/plan.json')} is not as pairmill writes it; delete it and "
            "run its pipeline again, or delete the run's folder"
        )
    return found


def references(storage: Storage) -> dict[str, tuple[str, ...]]:
    """Folder of a pool or column set → the runs whose plan names it."""
    found: dict[str, list[str]] = {}
    for run in storage.folders("runs"):
        if storage.exists(f"runs/{run}/plan.json"):
            plan = read_plan(storage, f"runs/{run}")
            sets = [s["column_set"] for s in plan["stages"] if s.get("column_set")]
            folders = [f"pool/{plan['pool']}", *(f"columns/{name}" for name in sets)]
            for folder in folders:
                found.setdefault(folder, []).append(run)
    return {folder: tuple(runs) for folder, runs in found.items()}


def contents(storage: Storage) -> list[StoredSet]:
    """Every pool and column set, with size and users."""
    used = references(storage)
    found = []
    for kind in ("pool", "columns"):
        for name in storage.folders(kind):
            files = storage.files(f"{kind}/{name}")
            found.append(
                StoredSet(
                    f"{kind}/{name}",
                    sum(size for _, size in files),
                    len(files),
                    used.get(f"{kind}/{name}", ()),
                )
            )
    return found


def unused(storage: Storage) -> list[StoredSet]:
    """What no run refers to, and pairmill wrote as a pool or column set."""
    return [s for s in contents(storage) if not s.runs and not foreign(storage, s.folder)]


def left_alone(storage: Storage) -> list[str]:
    """Folders that no run refers to, and that are no pool or column set."""
    return [s.folder for s in contents(storage) if not s.runs and foreign(storage, s.folder)]


def foreign(storage: Storage, folder: str) -> bool:
    """Whether a folder is no pool or column set, whatever place it has: a package, a link, folders
    of somebody else.  Nobody may lose data because it lay in the wrong place.
    """
    if storage.local and os.path.islink(storage.path(folder)):
        return True
    names = [name.rpartition("/")[2] for name, _ in storage.files(folder)]
    return bool(storage.folders(folder)) or any(not OURS.match(name) for name in names)


def collect(storage: Storage, sets: list[StoredSet]) -> None:
    for stored in sets:
        storage.delete_folder(stored.folder)
