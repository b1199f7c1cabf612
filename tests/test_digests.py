"""What stands for the values of a column."""

import numpy as np
import pyarrow as pa
import pytest

from pairmill.workspace.digests import column_digest, column_digests


def test_nested_columns_side_by_side_have_digests_of_their_own() -> None:
    """Objects that pyarrow makes for a moment may lie where the one before lay."""
    columns = {f"list{i}": pa.array([[i], [i, i]]) for i in range(20)}
    columns |= {f"struct{i}": pa.array([{"a": i}, None]) for i in range(20)}
    table = pa.table(columns)
    for _ in range(5):
        found = column_digests(table)
        assert found == {name: column_digest(table[name]) for name in table.schema.names}
        assert len(set(found.values())) == 40


def test_a_column_under_two_names_has_one_digest() -> None:
    values = pa.array(["a", None, "b"])
    found = column_digests(pa.table({"uid": values, "doc_id": values}))
    assert found["uid"] == found["doc_id"] == column_digest(values)


@pytest.mark.parametrize("rows", [3, 1_000, 40_000])
def test_columns_that_are_hashed_together_have_the_digests_of_single_ones(rows: int) -> None:
    """Few bytes are hashed one column after another, more of them four columns at a time."""
    rng = np.random.default_rng(rows)
    texts = pa.array([None if n % 7 == 0 else "ü" * n for n in rng.integers(0, 90, rows).tolist()])
    table = pa.table(
        {
            "uid": pa.array(map(str, range(rows))),
            "text": texts,
            "again": texts,
            "late": pa.concat_arrays([pa.array(["before"]), texts]).slice(1),
            "two": pa.chunked_array([texts.slice(0, 1), texts.slice(1)]),
            "number": rng.integers(0, 2**40, rows),
            "share": pa.array(rng.random(rows), mask=rng.random(rows) < 0.5),
            "is": pa.array(rng.random(rows) < 0.5),
            "words": pa.array([["a"] * n for n in rng.integers(0, 4, rows).tolist()]),
            "none": pa.nulls(rows, pa.string()),
            "empty": pa.array([""] * rows),
        }
    )
    found = column_digests(table)
    assert found == {name: column_digest(table[name]) for name in table.schema.names}
    assert found["text"] == found["again"] == found["late"] == found["two"]
