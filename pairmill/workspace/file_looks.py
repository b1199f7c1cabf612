"""Where the looks at input files are remembered: `fates/<pipeline>+files.parquet`, a line for each
file of the pipeline's last run.
"""

import pyarrow as pa

from pairmill.errors import PairmillError
from pairmill.sources.file_looks import FileLook, FileLooks
from pairmill.workspace.contents import FATES, LOOKS
from pairmill.workspace.storage import Storage

SCHEMA = pa.schema(
    [
        ("asked", pa.string()),
        ("url", pa.string()),
        ("number", pa.uint64()),
        ("size", pa.int64()),
        ("changed_ns", pa.int64()),
        ("touched_ns", pa.int64()),
        ("kind", pa.string()),
        ("whole", pa.bool_()),
        ("found", pa.string()),
        ("rows", pa.int64()),
    ]
)


def looks_of(pipeline: str) -> str:
    """Where a pipeline's looks are remembered."""
    return f"{FATES}/{pipeline}{LOOKS}.parquet"


def recalled_looks(root: str, pipeline: str) -> FileLooks:
    """The looks of the pipeline's last run; none where that is damaged, or not on a disk."""
    storage = Storage(root)
    if not storage.local:
        return FileLooks()
    try:
        table = storage.read_table(looks_of(pipeline), SCHEMA.names).cast(SCHEMA)
    except (OSError, PairmillError, pa.ArrowException):
        return FileLooks()
    known = {}
    for asked, url, *stamp, kind, whole, found, rows in zip(
        *(column.to_pylist() for column in table.columns), strict=True
    ):
        known[asked, url] = FileLook(tuple(stamp), kind, whole, found, rows)
    return FileLooks(known)


def keep_looks(storage: Storage, pipeline: str, looks: FileLooks) -> None:
    """Remembers the looks of this run, unless they are the last one's."""
    if not storage.local or looks.found == looks.known:
        return
    lines = [
        (*key, *look.stamp, look.kind, look.whole, look.found, look.rows)
        for key, look in looks.found.items()
    ]
    columns = list(zip(*lines, strict=True)) or [()] * len(SCHEMA)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
    storage.write_table(looks_of(pipeline), table)
    looks.known = dict(looks.found)
