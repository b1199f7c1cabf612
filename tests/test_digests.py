"""What stands for the values of a column."""

import pyarrow as pa

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
