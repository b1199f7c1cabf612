"""Threads that read a source in place of processes, and what processes are sent."""

import pickle
import threading
from collections import deque
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.errors import RunError
from pairmill.workspace.parts import without_rest
from pairmill.workspace.reading import Hands
from tests.test_reading import read, stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tables, with texts that repeat within and between them; one of text."""
    (folder := tmp_path / "source").mkdir()
    for file in range(3):
        texts = [f"text {n % 7900}" for n in range(file * 4000, file * 4000 + 4000)]
        pq.write_table(
            pa.table({"text": texts, "number": list(range(4000))}), folder / f"{file}.parquet"
        )
    lines = [f"{'x' if i == 777 else i},line {i}\n" for i in range(2000)]
    (folder / "9.csv").write_text("number,text\n" + "".join(lines))
    return folder


def test_a_shard_is_sent_without_the_rows_it_is_a_slice_of() -> None:
    rows = pa.table({"row": np.arange(16_000, dtype=np.int32), "uid": ["a uid"] * 16_000})
    for shard in (rows.slice(0, 500), pa.concat_tables([rows.slice(15_800), rows.slice(0, 300)])):
        alone = without_rest(shard)
        assert alone.equals(shard)
        assert len(pickle.dumps(alone)) < 20_000 < len(pickle.dumps(shard))


def no_process(work: Any, items: "deque[Any]") -> Generator[tuple[Any, Any]]:
    """Nobody asks for processes."""
    raise AssertionError
    yield


IN_THREADS = Hands(2, no_process, worth_bytes=0, task_bytes=0, threads=True, thread_bytes=0)


@pytest.mark.parametrize("most_bytes", [2**27, 2**16])
def test_threads_read_a_source_as_one_does(folder: Path, tmp_path: Path, most_bytes: int) -> None:
    """Also where what a task reads is more than may wait in memory."""
    before = set(threading.enumerate())
    hands = replace(IN_THREADS, spool_bytes=most_bytes)
    alone = read(folder, tmp_path / "alone", None), stored(tmp_path / "alone")
    assert (read(folder, tmp_path / "w", hands), stored(tmp_path / "w")) == alone
    assert alone[0].told
    assert set(threading.enumerate()) == before


def test_an_error_of_a_reading_thread_is_raised_and_leaves_no_thread(
    folder: Path, tmp_path: Path
) -> None:
    before = set(threading.enumerate())

    def change(rows: int, files: int, of: int) -> None:
        (folder / "2.parquet").unlink(missing_ok=True)

    with pytest.raises(RunError, match=r"2\.parquet"):
        read(folder, tmp_path / "w", IN_THREADS, change)
    assert set(threading.enumerate()) == before
