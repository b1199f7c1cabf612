"""What rows are called that stand for others."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.stages.dedup.clusters import Clusters


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.text("abé", max_size=3), max_size=5), max_size=4),
    st.lists(st.integers(0, 2**16), min_size=20, max_size=20),
)
def test_rows_are_named_after_the_ones_that_stand_for_them(
    chunks: list[list[str]], heads: list[int]
) -> None:
    """Whatever the parts that uids come in, and the lengths they have."""
    uids = [uid for chunk in chunks for uid in chunk]
    stands_for = np.array([h % len(uids) for h in heads[: len(uids)]], np.int64)
    stands_for[::2] = np.arange(len(uids))[::2]
    clusters = Clusters(stands_for, np.ones(len(uids), np.int64), None)
    parts = [pa.array(["skipped", *chunk], pa.large_string()).slice(1) for chunk in chunks]
    others, own = clusters.named(pa.chunked_array(parts, pa.large_string()))
    expected = [uids[h] for h in stands_for]
    assert own.to_pylist() == expected
    assert others.to_pylist() == [
        None if h == at else uid
        for at, (h, uid) in enumerate(zip(stands_for, expected, strict=True))
    ]
    for column in (others, own):
        assert column.type == pa.string()
        column.validate(full=True)
