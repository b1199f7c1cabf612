"""A source of which the first task is read by who places the rows, while processes start."""

from collections import deque
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.errors import RunError
from pairmill.work.crew import Crew
from pairmill.workspace.reading import Hands
from tests.test_reading import read, stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, with texts that repeat."""
    (folder := tmp_path / "in").mkdir()
    for file in range(3):
        texts = [f"text {n % 1900}" for n in range(file * 1000, file * 1000 + 1000)]
        pq.write_table(
            pa.table({"text": texts, "number": list(range(1000))}), folder / f"{file}.parquet"
        )
    return folder


@pytest.fixture
def crew() -> Iterator[Crew]:
    found = Crew([])
    yield found
    found.close()


@pytest.mark.slow
def test_first_task_read_here_gives_the_same_files(
    folder: Path, tmp_path: Path, crew: Crew
) -> None:
    asked: list[str] = []

    def spread(work: Any, items: "deque[Any]") -> Generator[tuple[Any, Any]]:
        for item, found in crew.run(work, items, count=2):
            asked.append(str(item))
            yield item, found

    alone = read(folder, tmp_path / "alone", None), stored(tmp_path / "alone")
    hands = Hands(2, spread, worth_bytes=0, task_bytes=0, first_here=True)
    assert (read(folder, tmp_path / "w", hands), stored(tmp_path / "w")) == alone
    assert "reading 0.parquet" not in asked
    assert {"reading 1.parquet", "reading 2.parquet"} <= set(asked)


@pytest.mark.slow
def test_a_fault_in_the_first_task_ends_the_processes_that_began_with_others(
    folder: Path, tmp_path: Path, crew: Crew
) -> None:
    def change(rows: int, files: int, of: int) -> None:
        assert crew.seats
        (folder / "0.parquet").touch()

    hands = Hands(2, partial(crew.run, count=2), worth_bytes=0, task_bytes=0, first_here=True)
    with pytest.raises(RunError, match=r"0\.parquet was changed while it was read"):
        read(folder, tmp_path / "w", hands, change)
    assert not crew.seats
