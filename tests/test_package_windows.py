"""Neighbouring output shards take their rows from pool shards that are held in memory; what they
get is what each would read by itself.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.api import Pipeline
from pairmill.fates.trace import RememberedFates
from pairmill.packages.gather import Place, gathered
from pairmill.packages.windows import HELD_BYTES, Held, Windows
from pairmill.pipeline.run import Runner
from pairmill.pipeline.watcher import Watcher
from pairmill.work.local import LocalEngine, Neighbours
from tests.everything import picture

Write = Callable[[str], Path]
ROWS = 600


def shard(number: int) -> pa.Table:
    return pa.table({"a": [f"{number}.{row}" for row in range(3)]})


def test_what_is_held_is_not_read_again_and_goes_with_other_shards() -> None:
    held, read = Held(), []

    def reading(number: int) -> pa.Table:
        read.append(number)
        return shard(number)

    for numbers in ([2, 5, 9], [5, 9], [5, 9, 11], [2, 5]):
        window = held.of(np.array(numbers), ["a"], reading)
        assert window is not None
        rows = window.taken(np.array([numbers[1], numbers[0]]), np.array([2, 0]))
        assert rows.column("a").to_pylist() == [f"{numbers[1]}.2", f"{numbers[0]}.0"]
    assert read == [2, 5, 9, 11, 2]


def test_other_columns_are_read_anew() -> None:
    held = Held()
    numbers = np.array([1])
    assert held.of(numbers, ["a"], shard) is not None
    other = held.of(numbers, ["b"], lambda _: pa.table({"b": ["x"]}))
    assert other is not None
    assert other.table.column("b").to_pylist() == ["x"]


def test_shards_that_are_too_large_are_not_held() -> None:
    def large(number: int) -> pa.Table:
        return pa.table({"a": [bytes(HELD_BYTES // 2)]})

    assert Held().of(np.arange(1), ["a"], large) is not None
    held = Held()
    assert held.of(np.arange(3), ["a"], large) is None
    assert held.window is None
    assert Held().of(np.arange(3), ["a"], shard, lambda: HELD_BYTES + 1) is None


def test_rows_from_memory_are_those_that_are_read_one_shard_at_a_time(
    write: Write, tmp_path: Path
) -> None:
    images = [picture(i % 7) + bytes(i) if i % 5 else None for i in range(ROWS)]
    texts = [str(i) if i % 3 or not i % 5 else None for i in range(ROWS)]
    pq.write_table(pa.table({"image": images, "text": texts}), tmp_path / "in.parquet")
    text = "name: x\nsource: {type: parquet, path: in.parquet, rows_per_shard: 40}\noutputs: []\n"
    found = Pipeline.from_yaml(write(text))
    chain = Runner(found.checked, found.text, Watcher(), [], local=True).run().chain
    count = chain.rows()
    assert count > 300
    order = np.random.default_rng(0).permutation(count)
    shards = (np.searchsorted(chain.starts, order, "right") - 1).astype(np.int32)
    rows = (order - chain.starts[shards]).astype(np.int32)
    stored = [t for s in chain.shards() for t in chain.read_pool(s, ["text"])["text"].to_pylist()]
    held, off = Windows(), Windows()
    off.narrow.is_off = off.wide.is_off = True
    for part in (slice(0, 290), slice(290, count)):
        seen = []
        for windows in (held, off):
            fates = RememberedFates(chain, ("image",))
            place = Place(chain, shards[part], rows[part], fates, windows)
            with ExitStack() as files:
                got = gathered(place, ["image", "text"], str(tmp_path), files)
                seen.append([(n, pa.table(t), pa.table(p)) for n, t, p in got.batches()])
        assert [n for n, _, _ in seen[0]] == [n for n, _, _ in seen[1]]
        assert seen[0]
        for (_, table, payload), (_, other_table, other_payload) in zip(*seen, strict=True):
            assert table.equals(other_table)
            assert payload.equals(other_payload)
        wanted = [stored[i] for i in order[part]]
        assert [t for _, table, _ in seen[0] for t in table.column("text").to_pylist()] == wanted
    assert held.wide.window is not None
    assert off.wide.window is None


def test_neighbours_are_given_to_one_process_and_come_back_in_order() -> None:
    assert Neighbours(str)((3, [3, 4])) == ["3", "4"]
    engine = LocalEngine(disk=True, processes=2)
    try:
        items = list(range(50))
        assert list(engine.each(str, items, 1_000_000)) == [str(i) for i in items]
    finally:
        engine.crew.close()
