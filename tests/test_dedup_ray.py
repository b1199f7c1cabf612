"""Duplicates on Ray: the same as in one process, for any number of partitions."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pairmill import Pipeline
from pairmill.cluster.components import components
from pairmill.cluster.partitions import LEAST_SHUFFLED, run_global
from pairmill.cluster.session import RaySession
from pairmill.fates.survey import Survey
from pairmill.plan.answers import with_new_answers
from pairmill.plan.identity import identified
from pairmill.schemas.arrow import ORDER
from pairmill.work.block import Job
from pairmill.work.far_components import near_components
from pairmill.work.local import LocalEngine
from tests.test_dedup_sets import captions
from tests.workspaces import stored_chain, values_of

PIPELINE = """
name: near
source: {type: pairs, path: rows.parquet, rows_per_shard: 60}
stages:
  - {stage: dedup, name: near, kind: text, on: [text], threshold: 0.5, shingle_size: 1,
     permutations: 8}
  - stage: dedup
    kind: semantic
    on: [v]
    threshold: 0.9
    cells: 5
    probes: 2
  - {stage: retrieve, embedding: v, sets: {asked: asked.npy}, top: 7, search: cells, cells: 5,
     probes: 1}
"""
COLUMNS = ("near_dup_of", "dup_of", "retrieved_query")


# Ray warns of its own options when its data context is made first
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_stages_over_partitions_answer_as_in_one_process(
    shared_ray: RaySession, tmp_path: Path
) -> None:
    ray = shared_ray.ensure()
    rng = np.random.default_rng(2)
    vectors = np.repeat(rng.normal(size=(80, 8)), 3, axis=0) + rng.normal(size=(240, 8)) / 9
    rows = {"text": captions(240), "v": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32))}
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    np.save(tmp_path / "asked.npy", vectors[::30].astype(np.float32))
    head, *stages = PIPELINE.split("  - ")
    for stage, name in enumerate(COLUMNS):
        file = tmp_path / f"{stage}.yaml"
        file.write_text(f"{head}  - {stages[stage]}")
        pipeline = Pipeline.from_yaml(file)
        table = pipeline.run(progress=False, local=True).table()
        assert 20 < table[name].null_count() < table.height
        survey = Survey(stored_chain(pipeline.checked), LocalEngine(True).over)
        _, seen = survey.population()
        named = Job(identified(survey.chain, {0: f"of{stage}"}), 0, 1)
        answers = run_global(shared_ray, named, seen, partitions=2)
        # a task of the shuffle takes no more than a partition, or few MB; Ray's own bound is 1 GiB
        assert ray.data.DataContext.get_current().shuffle_input_batch_bytes == LEAST_SHUFFLED
        written = named.chain.stages[0].writes.names
        assert name in written
        known = with_new_answers(named.chain, 0, answers, ())
        answer = values_of(known, 0).sort("at").select(written)
        assert answer.equals(table.select(written))


def test_more_pairs_than_the_driver_connects_are_connected_by_tasks(
    shared_ray: RaySession,
) -> None:
    ray = shared_ray.ensure()
    rng = np.random.default_rng(3)
    one, two = rng.permutation(400).reshape(2, -1)[:, :150]
    pairs = pa.table(
        {"one": np.r_[one, one[:20], two[:40]], "two": np.r_[two, two[20:40], one[:40]]}
    )
    blocks = [pairs.slice(first, 50) for first in range(0, len(pairs), 50)]
    found = components(shared_ray, ray.data.from_arrow(blocks), 400, at_once=len(pairs) - 1)
    assert len(found.parts) > 1
    owned = np.concatenate([ray.get(part) for part in found.parts], axis=1)
    assert np.array_equal(owned, near_components(blocks))
    rows = pa.table({ORDER: np.arange(400)})
    whole = components(shared_ray, ray.data.from_arrow(blocks), 400, at_once=len(pairs))
    assert found.of(rows).equals(whole.of(rows))
