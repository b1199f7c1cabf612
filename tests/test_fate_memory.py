"""Fates that a process remembers are those that it would follow anew."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pairmill import Pipeline
from pairmill.fates.decide import FAILED, PENDING, Trace
from pairmill.fates.fate_memory import (
    FOLLOWED,
    FateMemory,
    ShardPopulation,
    place_of,
    steps_of,
)
from pairmill.fates.remembered import fates_in, table_of
from pairmill.fates.survey import look
from pairmill.fates.trace import trace
from pairmill.packages.kept import alive_in
from pairmill.plan.chain import Chain

FILE = """
name: followed
source: {type: pairs, path: in.parquet, rows_per_shard: 50}
stages:
  - {stage: text_rules, keep: text_words > 2}
  - {stage: text_rules, name: more, keep: more_chars > 12}
  - {stage: dedup, on: [text], keep: dup_of IS NULL}
outputs: []
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("followed")
    texts = [
        None if i % 11 == 0 else " ".join(["word"] * (i % 7)) + f" {i % 30}" for i in range(200)
    ]
    urls = [f"http://x.test/{i}" for i in range(200)]
    pl.DataFrame({"text": texts, "url": urls}).write_parquet(folder / "in.parquet")
    (folder / "p.yaml").write_text(FILE)
    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    pipeline.run(local=True, processes=0, progress=False, write_report=False)
    return pipeline.stored().chain


def anew(chain: Chain, shard: int, *args: object, **kwargs: object) -> Trace:
    """The same, with nothing remembered."""
    FOLLOWED.found.clear()
    FOLLOWED.nbytes = 0
    return trace(chain, shard, *args, **kwargs)  # type: ignore[arg-type]


def told(found: Trace) -> tuple[object, ...]:
    """All that a trace says, reasons in words."""
    ran = {index: rows.tolist() for index, rows in found.ran.items()}
    reasons = [found.reason(row) for row in range(len(found.fate))]
    return found.fate.tolist(), found.at.tolist(), reasons, ran, found.counts()


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("upto", range(4))
def test_remembered_fates_are_those_followed_anew(chain: Chain, before: int, upto: int) -> None:
    columns = ["uid", "text", "text_words", "more_chars", "dup_of"]
    for shard in chain.shards():
        expected = anew(chain, shard, upto, want=columns)
        anew(chain, shard, before)
        found = trace(chain, shard, upto, want=columns)
        assert told(found) == told(expected)
        assert found.frame.select(columns[: 2 + upto]).equals(
            expected.frame.select(columns[: 2 + upto])
        )


def test_what_one_caller_does_with_fates_is_no_others(chain: Chain) -> None:
    expected = told(anew(chain, 0))
    trace(chain, 0).stop(np.ones(chain.rows_of(0), bool), FAILED, 0, ("x", "y"))
    assert told(trace(chain, 0)) == expected


def test_stored_fates_are_looked_at_again_where_the_files_are_others(chain: Chain) -> None:
    first = anew(chain, 1)
    stage = chain.stages[1]
    file = Path(chain.root) / chain.columns_of(stage, 1).name
    whole = file.read_bytes()
    file.unlink()
    without = trace(chain, 1)
    assert (without.fate == PENDING).any()
    assert told(without) == told(anew(chain, 1))
    file.write_bytes(whole)
    assert told(trace(chain, 1)) == told(first)


def test_rows_that_a_stage_looks_at_are_remembered_as_long_as_they_are_the_same(
    chain: Chain,
) -> None:
    def looked(shard: int) -> ShardPopulation | None:
        return look(chain, 2, (), {}, None, shard).looked

    anew(chain, 0)
    first = looked(0)
    assert first is not None
    assert 0 < first.count < chain.rows_of(0)
    assert FOLLOWED.fates(place_of(chain, 0)).looked  # type: ignore[union-attr]
    assert looked(0) == first
    recalled = table_of([(place_of(chain, 0), FOLLOWED.fates(place_of(chain, 0)))])  # type: ignore[list-item]
    ((place, fates),) = fates_in(chain.root, recalled.to_batches()[0])
    FOLLOWED.found.clear()
    FOLLOWED.put(place, fates)
    assert looked(0) == first
    file = Path(chain.root) / chain.columns_of(chain.stages[1], 0).name
    whole = file.read_bytes()
    file.unlink()
    assert looked(0) == ShardPopulation.at(np.empty(0, np.int32))
    file.write_bytes(whole)
    assert looked(0) == first


@pytest.mark.parametrize("upto", [1, 2, 3])
def test_rows_of_a_package_are_those_of_the_ledger_whoever_tells(chain: Chain, upto: int) -> None:
    (folder,) = Path(chain.root).glob("runs/*/ledger")
    ledger = folder.relative_to(chain.root).as_posix()
    for shard in chain.shards():
        FOLLOWED.found.clear()
        told = alive_in(chain.until(upto), ledger, shard)
        anew(chain, shard)
        assert alive_in(chain.until(upto), ledger, shard).equals(told)


def test_as_much_is_known_as_did_not_change(chain: Chain) -> None:
    anew(chain, 2)
    place, steps = place_of(chain, 2), steps_of(chain, 2, chain.stages, ())
    assert FOLLOWED.known(place, steps)[0] == 3
    assert FOLLOWED.known(place, steps_of(chain, 2, chain.stages, ("a:Fault",)))[0] == 0
    assert FOLLOWED.known(place, (*steps[:2], ("other",)))[0] == 1


def test_memory_is_bounded(chain: Chain) -> None:
    found = trace(chain, 0)
    steps = steps_of(chain, 0, chain.stages, ())
    memory = FateMemory()
    memory.most_bytes = 10_000
    for number in range(100):
        memory.remember((number,), steps, found)
    assert 0 < memory.nbytes <= 10_000
    assert memory.nbytes == sum(known.nbytes for known in memory.found.values())
    assert memory.known((99,), steps)[0] == 3
    assert memory.known((0,), steps)[0] == 0
