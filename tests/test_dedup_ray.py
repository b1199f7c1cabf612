"""Duplicates on Ray: the same as in one process, for any number of partitions."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pairmill import Pipeline
from pairmill.cluster.engine import RayEngine
from pairmill.cluster.partitions import LEAST_SHUFFLED, run_global
from pairmill.fates.survey import Survey
from pairmill.plan.answers import with_new_answers
from pairmill.plan.identity import identified
from pairmill.work.block import Job
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
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_components_over_partitions_are_those_of_one_process(
    ray_session: None, tmp_path: Path
) -> None:
    import ray

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
        chain, engine = stored_chain(pipeline.checked), RayEngine([], (), True, few=0)
        survey = Survey(chain, engine.driver.over)
        _, seen = survey.population()
        named = Job(identified(survey.chain, {0: f"of{stage}"}), 0, 1)
        answers = run_global(engine.session, named, seen, partitions=3)
        # a task of the shuffle takes no more than a partition, or few MB; Ray's own bound is 1 GiB
        assert ray.data.DataContext.get_current().shuffle_input_batch_bytes == LEAST_SHUFFLED
        written = named.chain.stages[0].writes.names
        assert name in written
        known = with_new_answers(named.chain, 0, answers, ())
        answer = values_of(known, 0).sort("at").select(written)
        assert answer.equals(table.select(written))
        if stage == 0:  # more pairs than the driver is to connect by itself: tasks do
            far = Job(identified(survey.chain, {0: "far"}), 0, 1)
            fewer = (table.height - table[name].null_count()) // 2
            joined = run_global(engine.session, far, seen, partitions=3, pairs_at_once=fewer)
            known = with_new_answers(far.chain, 0, joined, ())
            answer = values_of(known, 0).sort("at").select(written)
            assert answer.equals(table.select(written))
