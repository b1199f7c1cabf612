"""What is new in a table since the last run of its pipeline."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pairmill.errors import PairmillError
from pairmill.texts.amounts import amount
from pairmill.workspace.digests import uid_hashes
from pairmill.workspace.run_plan import FILE, RunPlan
from pairmill.workspace.shards import stored_file
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table


@dataclass(frozen=True)
class News:
    """Rows, told apart by their uids: those of both tables, of this one, of the one before."""

    known: int
    new: int
    gone: int

    def __str__(self) -> str:
        return f"{amount(self.known, 'row')} known, {self.new:,} new, {self.gone:,} gone"


def news(storage: Storage, table: Table, pipeline: str) -> News | None:
    """Compared with the table of the pipeline's last run; None of a first run, and where that was
    over the same table.
    """
    before = last_table(storage, pipeline)
    if before is None or before.id == table.id:
        return None
    shared = np.intersect1d(table.names, before.names)
    known = int(table.rows[np.isin(table.names, shared)].sum())
    now, then = (other_rows(storage, t, shared) for t in (table, before))
    both = len(np.intersect1d(now, then))
    return News(known + both, len(now) - both, len(then) - both)


def last_table(storage: Storage, pipeline: str) -> Table | None:
    """The table of the run of a pipeline that was planned last."""
    found: list[tuple[int, str]] = []
    for run in storage.folders("runs"):
        name = f"runs/{run}/{FILE}"
        if run.rpartition("-")[0] == pipeline and storage.exists(name):
            found.append((storage.fs.get_file_info(storage.path(name)).mtime_ns or 0, run))
    if not found:
        return None
    try:
        plan = RunPlan.read(storage, f"runs/{max(found)[1]}")
        return open_table(storage, plan.table) if plan else None
    except PairmillError:
        return None


def other_rows(storage: Storage, table: Table, shared: np.ndarray) -> np.ndarray:
    """Hashes of the uids of a table's rows, but those of some shards."""
    return np.concatenate(
        [np.empty(0, np.uint64), *(hashes for hashes in hashes_of(storage, table, shared))]
    )


def hashes_of(storage: Storage, table: Table, shared: np.ndarray) -> Iterable[np.ndarray]:
    """By shard; of one that was removed meanwhile nothing."""
    for shard in np.flatnonzero(~np.isin(table.names, shared)).tolist():
        try:
            file = stored_file(int(table.names[shard]), int(table.contents[shard]))
            yield uid_hashes(storage.read_table(file, ["uid"]).column("uid"))
        except (FileNotFoundError, PairmillError):
            continue
