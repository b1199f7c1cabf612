"""Duplicates on Ray: the same as in one process, for any number of partitions."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pairmill import Pipeline
from pairmill.cluster.engine import RayEngine
from pairmill.cluster.partitions import run_global
from pairmill.fates.survey import Survey
from pairmill.plan.plan import identified
from pairmill.work.block import Job
from tests.test_dedup_sets import captions

PIPELINE = """
name: near
source: {type: pairs, path: rows.parquet, rows_per_shard: 60}
stages:
  - {stage: dedup, name: near, kind: text, on: [text], threshold: 0.5, shingle_size: 1}
  - {stage: dedup, name: cells, kind: semantic, on: [v], threshold: 0.9, cells: 5, probes: 2, keep: null}
"""


@pytest.mark.parametrize("stage", ["near", "cells"])
def test_components_over_partitions_are_those_of_one_process(
    ray_session: None, tmp_path: Path, stage: str
) -> None:
    rng = np.random.default_rng(2)
    vectors = np.repeat(rng.normal(size=(80, 8)), 3, axis=0) + rng.normal(size=(240, 8)) / 9
    rows = {"text": captions(240), "v": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32))}
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    pipeline = Pipeline.from_yaml(tmp_path / "p.yaml")
    pipeline.run(progress=False, local=True)
    whole = stored(tmp_path, f"{stage}-*")
    assert 20 < whole[f"{stage}_dup_of"].null_count() < whole.height
    pool = next((tmp_path / "workspace/pool").glob("*/pool.json"))
    shards = json.loads(pool.read_text())["shard_rows"]
    engine = RayEngine([], (), True, few=0)
    chain = pipeline.checked.chain(pool.parent.name, shards, None)
    index = ["near", "cells"].index(stage)
    for partitions in (1, 3, 16):
        survey = Survey(chain, engine.driver.over)
        if index:
            digest, _ = survey.population()
            survey.start(identified(chain, {0: digest}))
        _, seen = survey.population()
        named = Job(survey.chain.with_identity(index, f"of{partitions}"), index, index + 1)
        run_global(engine.session, named, seen, partitions)
        assert stored(tmp_path, f"{stage}-of{partitions}").equals(whole)


def stored(folder: Path, column_set: str) -> pl.DataFrame:
    files = sorted(folder.glob(f"workspace/columns/{column_set}/shard-*.parquet"))
    return pl.concat([pl.read_parquet(f) for f in files])
