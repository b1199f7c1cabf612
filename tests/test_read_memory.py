"""Narrow columns that a process remembers are those that the file holds now."""

from pathlib import Path

import pyarrow as pa

from pairmill.workspace.read_memory import MOST_EACH, ReadMemory
from pairmill.workspace.storage import Storage


def rows(*values: int) -> pa.Table:
    return pa.table({"row": pa.array(values, pa.int32())})


def test_columns_are_remembered_until_another_file_stands_there(tmp_path: Path) -> None:
    storage, memory = Storage(str(tmp_path)), ReadMemory()
    storage.write_table("a.parquet", rows(1, 2))
    path = storage.path("a.parquet")

    def ask() -> list[int]:
        found = memory.read(path, ["row"], lambda: storage.read_table("a.parquet", ["row"]))
        return found.column("row").to_pylist()

    assert ask() == [1, 2]
    assert memory.read(path, ["row"], lambda: rows(9)).column("row").to_pylist() == [1, 2]
    storage.write_table("a.parquet", rows(3, 4))
    assert ask() == [3, 4]


def test_what_was_asked_for_long_ago_goes_first_and_large_columns_are_not_kept(
    tmp_path: Path,
) -> None:
    memory = ReadMemory()
    memory.most_bytes = rows(1, 2).nbytes * 2
    paths = [str(tmp_path / name) for name in "abc"]
    for path in paths:
        Path(path).write_bytes(b"rows")
        memory.read(path, ["row"], lambda: rows(1, 2))
    memory.read(paths[1], ["row"], lambda: rows(9))
    Path(tmp_path / "d").write_bytes(b"rows")
    memory.read(str(tmp_path / "d"), ["row"], lambda: rows(5, 6))
    left = [
        memory.read(p, ["row"], lambda: rows(9)).column("row").to_pylist() for p in paths[1::-1]
    ]
    assert left == [[1, 2], [9]]
    large = rows(*range(MOST_EACH // 4 + 1))
    assert memory.read(paths[2], ["large"], lambda: large) is large
    assert memory.read(paths[2], ["large"], lambda: rows(9)).num_rows == 1
