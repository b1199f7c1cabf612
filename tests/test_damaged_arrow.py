"""Damage in Arrow and Feather files costs the rows that it stands in."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.test_input_files import read


def arrow_files(folder: Path, damage: Callable[[bytes], bytes], kind: str) -> Path:
    """A sound file of 300 rows, three batches, and one that is damaged."""
    columns = {"url": [f"u{i}" for i in range(300)], "text": ["t" * 9 for i in range(300)]}
    whole = pa.table(columns)
    out = io.BytesIO()
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with new(out, whole.schema) as writer:
        writer.write_table(whole, max_chunksize=100)
    (folder / "a.arrow").write_bytes(out.getvalue())
    (folder / "b.feather").write_bytes(damage(out.getvalue()))
    return folder


@pytest.mark.parametrize("kind", ["stream", "file"])
@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b"nothing\n", lambda b: bytes(40) + b[40:], lambda b: b[:90]],
)
def test_damaged_arrow_file_costs_one_row_as_a_damaged_parquet_file_does(
    damage: Callable[[bytes], bytes], kind: str, tmp_path: Path
) -> None:
    frame, bad, _ = read(arrow_files(tmp_path, damage, kind))
    assert frame.height == 300
    assert [(b.location, b.rows) for b in bad] == [("b.feather", 1)]
    assert bad[0].reason.startswith("the file is damaged: ")


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_offsets_that_lead_out_of_an_arrow_file_cost_their_rows_and_no_others(
    kind: str, tmp_path: Path
) -> None:
    def lead_away(data: bytes) -> bytes:
        begins = [2 * i for i in range(10)]  # of the first batch's `u0`, `u1`, …
        at = data.index(np.array(begins, np.int32).tobytes())
        return data[: at + 12] + b"\xff" * 4 + data[at + 16 :]

    frame, bad, _ = read(arrow_files(tmp_path, lead_away, kind))
    assert (frame.height, sum(b.rows for b in bad)) == (500, 100)
    assert [b.location for b in bad] == ["b.feather row 0 to 99"]
    assert bad[0].reason.startswith("damaged: ")
