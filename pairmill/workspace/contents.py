"""A workspace's format, what is stored in it, who uses it, and what nobody uses any more."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pairmill.errors import BadRequest, CorruptWorkspace, RunError
from pairmill.version import __version__
from pairmill.workspace.addresses import FOLDER as COLUMNS
from pairmill.workspace.answers import FOLDER as ANSWERS
from pairmill.workspace.elements import FOLDER as ELEMENTS
from pairmill.workspace.elements import shard_in
from pairmill.workspace.lease import collecting, starting, still_collecting
from pairmill.workspace.memo import FOLDER as INGEST
from pairmill.workspace.shards import FOLDER as SHARDS
from pairmill.workspace.shards import PAYLOAD, payload_file, stored_file, stored_files
from pairmill.workspace.storage import SIGN, Storage
from pairmill.workspace.tables import FOLDER as TABLES
from pairmill.workspace.tables import Table, open_table
from pairmill.workspace.used import Used, used

FORMAT = 3
FATES = "fates"
"""Folder with what runs remember for the pipeline's next one: a file of fates for each pipeline,
one of the gallery's thumbnails, and one of looks at input files.
"""
THUMBNAILS, LOOKS = "+thumbnails", "+files"
"""Behind a pipeline's name, which has no such sign."""
SHARD_FILE = re.compile(r"^[0-9a-f]{16}\.[0-9a-f]{16}\.parquet$")
TABLE_FILE = re.compile(r"^[0-9a-f]{16}\.parquet$")
OURS = re.compile(r"^(?:[0-9a-f]{16}\.[0-9a-f]{16}\.parquet|(?:stage|settings)\.json|\.lock)$")
"""Names of files of a column set."""


class OlderWorkspace(RunError):
    """The workspace was written by an older pairmill."""


class NewerWorkspace(RunError):
    """The workspace was written by a newer pairmill."""


class RunBegins(RunError):
    """What is used cannot be told, as a run begins."""


@dataclass(frozen=True)
class StoredSet:
    """A column set or table: its folder, bytes, files, and the runs that refer to it.  `names`:
    where
    some files of the folder are meant, and not all.
    """

    folder: str
    bytes: int
    files: int
    runs: tuple[str, ...]
    names: tuple[str, ...] | None = None


def open_workspace(root: str) -> Storage:
    """The workspace's storage; a new one gets its format version, a newer one is refused."""
    storage = Storage(root)
    if storage.exists(SIGN):
        check_format(storage)
    else:
        storage.write_json(SIGN, {"format_version": FORMAT, "pairmill": __version__})
    return storage


def check_format(storage: Storage) -> None:
    """Raises OlderWorkspace or NewerWorkspace where this version cannot use what is stored."""
    facts = storage.read_json(SIGN)
    if facts.get("format_version", 0) < FORMAT:
        raise OlderWorkspace(
            f"{storage.root} has workspace format {facts.get('format_version')}, written by "
            "pairmill "
            f"{facts.get('pairmill')}; this is pairmill {__version__} with format {FORMAT}, which "
            "stores rows and columns in another way: use another workspace (packages stay as "
            "they are), and delete this one when nothing needs it any more"
        )
    if facts.get("format_version", 0) > FORMAT:
        raise NewerWorkspace(
            f"{storage.root} has workspace format {facts['format_version']}, written by pairmill "
            f"{facts.get('pairmill')}; "
            f"this is pairmill {__version__} with format {FORMAT}: upgrade it, or use another "
            "workspace"
        )


def existing_workspace(root: str) -> Storage:
    """A workspace that is there; raises RunError where it is none."""
    storage = Storage(root)
    if not storage.exists(SIGN):
        raise BadRequest(f"{root} is no pairmill workspace (it has no workspace.json)")
    check_format(storage)
    return storage


def contents(storage: Storage) -> list[StoredSet]:
    """Every table and column set, with size and users; a shard of several tables counts in each."""
    uses = used(storage)
    found = []
    sizes = stored_files(storage)
    for name in table_names(storage):
        table = open_table(storage, name)
        files = [f for f in table_files(table) if f in sizes] if table else []
        users = tuple(uses.tables.get(name, ()))
        total = sum(sizes[f] for f in files)
        found.append(StoredSet(f"{TABLES}/{name}", total, len(files), users))
    for name in storage.folders(COLUMNS):
        parts = storage.files(f"{COLUMNS}/{name}")
        users = tuple(uses.sets.get(name, ()))
        total = sum(size for _, size in parts)
        found.append(StoredSet(f"{COLUMNS}/{name}", total, len(parts), users))
    return found


def table_names(storage: Storage) -> list[str]:
    """Ids of the tables that are there."""
    names = (name.rpartition("/")[2] for name, _ in storage.files(TABLES))
    return [n.removesuffix(".parquet") for n in names if TABLE_FILE.match(n)]


def table_files(table: Table) -> set[str]:
    """Files of a table's shards, and names of others that were never written."""
    names, contents = table.names.tolist(), table.contents.tolist()
    return {stored_file(n, c) for n, c in zip(names, contents, strict=True)} | {
        payload_file(n, d)
        for digests in table.digests.values()
        for n, d in zip(names, digests.tolist(), strict=True)
    }


def unused(storage: Storage) -> list[StoredSet]:
    """What no run refers to, and pairmill wrote: tables, shards, what is remembered of files whose
    shards go, what stages over all rows answered for rows that no run has, column sets, and of
    other sets the files of shards that no run has.

    Raises RunBegins while what a run is about to use cannot be told.
    """
    uses = used(storage)
    while True:
        found = beside(storage, uses)
        if runs := starting(storage):
            raise RunBegins(
                f"a run begins in {storage.root}, and what it is about to use stands in no plan "
                f"yet: {'; '.join(runs)}; nothing was removed, run gc again in a while"
            )
        before, uses = uses, used(storage)
        if uses == before:  # else one has begun meanwhile
            return found


def beside(storage: Storage, uses: Used) -> list[StoredSet]:
    """What is there beside what is used."""
    found = []
    for name in table_names(storage):
        if name not in uses.tables:
            mine = (f"{name}.json", f"{name}.parquet", f"{name}-unreadable.parquet")
            found.append(some_files(storage, TABLES, f"{TABLES}/{name}", set(mine)))
    gone = {f for f in stored_files(storage) if SHARD_FILE.match(base(f))} - uses.shards
    for folder in (SHARDS, PAYLOAD):
        names = {base(f) for f in gone if f.startswith(f"{folder}/")}
        found.append(some_files(storage, folder, folder, names))
    for folder, goes in ((INGEST, lost), (ELEMENTS, lost_elements)):
        stale = {base(f) for f, _ in storage.files(folder) if goes(storage, f, gone)}
        found.append(some_files(storage, folder, folder, stale))
    named = {run.rpartition("-")[0] for run in storage.folders("runs")}
    stale = {base(f) for f, _ in storage.files(FATES) if pipeline_in(f) not in named}
    found.append(some_files(storage, FATES, FATES, stale))
    told = {f for f, _ in storage.files(ANSWERS) if SHARD_FILE.match(base(f))} - uses.answers
    found.append(some_files(storage, ANSWERS, ANSWERS, {base(f) for f in told}))
    for name in storage.folders(COLUMNS):
        folder = f"{COLUMNS}/{name}"
        if name not in uses.sets:
            if not foreign(storage, folder):
                parts = storage.files(folder)
                found.append(StoredSet(folder, sum(s for _, s in parts), len(parts), ()))
        elif (kept := uses.columns.get(name)) is not None:
            files = {f for f, _ in storage.files(folder) if SHARD_FILE.match(base(f))} - kept
            found.append(some_files(storage, folder, folder, {base(f) for f in files}))
    return [stored for stored in found if stored.files]


def some_files(storage: Storage, folder: str, label: str, names: set[str]) -> StoredSet:
    """Files of a folder that go; all else in it stays."""
    parts = [(f, size) for f, size in storage.files(folder) if base(f) in names]
    files = tuple(f for f, _ in parts)
    return StoredSet(label, sum(size for _, size in parts), len(parts), (), files)


def pipeline_in(name: str) -> str:
    """The pipeline of whose last run a file remembers something."""
    return base(name).removesuffix(".parquet").removesuffix(THUMBNAILS).removesuffix(LOOKS)


def thumbnails_of(pipeline: str) -> str:
    """Where the thumbnails of a pipeline's last report are remembered."""
    return f"{FATES}/{pipeline}{THUMBNAILS}.parquet"


def base(name: str) -> str:
    """A file's name without its folder."""
    return name.rpartition("/")[2]


def lost(storage: Storage, name: str, gone: set[str]) -> bool:
    """Whether what is remembered of some input files names shards that go."""
    if not gone or not name.endswith(".parquet"):
        return False
    try:
        lines = storage.read_table(name, ["name", "content"])
    except (CorruptWorkspace, FileNotFoundError):
        return False
    pairs = zip(*(lines.column(c).to_pylist() for c in ("name", "content")), strict=True)
    return any(stored_file(*pair) in gone for pair in pairs)


def lost_elements(storage: Storage, name: str, gone: set[str]) -> bool:
    """Whether what is remembered of a list's elements names a shard that goes."""
    if not gone or not name.endswith(".json"):
        return False
    try:
        return shard_in(storage.read_json(name)) in gone
    except (CorruptWorkspace, FileNotFoundError):
        return False


def left_alone(storage: Storage) -> list[str]:
    """Folders among the column sets that no run refers to, and that are none."""
    known = used(storage).sets
    folders = [f"{COLUMNS}/{n}" for n in storage.folders(COLUMNS) if n not in known]
    return [folder for folder in folders if foreign(storage, folder)]


def foreign(storage: Storage, folder: str) -> bool:
    """Whether a folder is no column set, whatever place it has: a package, a link, folders of
    somebody else.  Nobody may lose data because it lay in the wrong place.
    """
    if storage.local and os.path.islink(storage.path(folder)):
        return True
    names = [base(name) for name, _ in storage.files(folder)]
    return bool(storage.folders(folder)) or any(not OURS.match(name) for name in names)


def collect(
    storage: Storage, sets: list[StoredSet], before_each: Callable[[], None] = lambda: None
) -> None:
    """Removes what is unused."""
    for stored in sets:
        if stored.names is None:
            before_each()
            storage.delete_folder(stored.folder)
        for name in stored.names or ():
            before_each()
            storage.delete_file(name)


def collect_unused(storage: Storage) -> list[StoredSet]:
    """Removes what no run refers to while runs that begin wait, and tells it; raises RunBegins
    where one has begun already.
    """
    with collecting(storage) as lease:
        found = unused(storage)
        collect(storage, found, partial(still_collecting, lease))
    return found
