"""Duplicates in data that grows: who stands for a cluster may change, and history does not show."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pairmill import Pipeline, RunResult
from tests.test_dedup import dedup, global_rows

FILE = """
name: grown
workspace: WORKSPACE
source: {type: pairs, path: in, rows_per_shard: 9}
stages:
  - {stage: dedup, name: same, on: [title], normalise: text, on_duplicate: merge, prefer: q,
     merge: [text, url], keep: null, against: {before: before.parquet}, against_on: title}
  - {stage: dedup, name: look, kind: perceptual, on: [h], radius: 3, prefer: q, keep: null}
  - {stage: dedup, name: near, kind: text, on: [text], threshold: 0.5, shingle_size: 1,
     prefer: q, max_diameter: 0.4, on_duplicate: mark}
  - {stage: dedup, name: way, kind: semantic, on: [v], threshold: 0.95, keep: null}
  - {stage: dedup, name: cell, kind: semantic, on: [v], threshold: 0.95, cells: 4, probes: 1,
     keep: way_dup_of IS NULL OR cell_cluster_size > 2}
  - {stage: sentences}
  - each: sentences
    stages:
      - {stage: dedup, name: said, on: [sentences], normalise: text, prefer: -place}
      - {stage: dedup, name: like, kind: text, on: [sentences], threshold: 0.6, shingle_size: 1}
    collect: [said_cluster_size]
outputs:
  - {type: table, path: OUT, samples_per_shard: 11, overwrite: true}
  - {type: table, path: OUT-parts, rows: sentences, samples_per_shard: 11, overwrite: true}
"""
WORDS = ["red", "ball", "Dog", "a", "é", "猫", "🙂", "...", "on", "the"]
COUNTED = ("same_dup_of", "look_dup_of", "near_dup_of", "way_dup_of", "cell_dup_of")


def odd_rows(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Values that repeat, among them empty and missing ones, NaN, zero vectors, chains of hashes."""
    titles = [None if rng.integers(9) == 0 else str(rng.choice(["A b", "a  B!", "", " ", "é", "e\u0301"]))
              for _ in range(rows)]  # fmt: skip
    texts = [". ".join(" ".join(rng.choice(WORDS, rng.integers(0, 4))) for _ in range(2))
             for _ in range(rows)]  # fmt: skip
    hashes = (1 << rng.integers(0, 12, rows)) - 1
    vectors = rng.normal(size=(5, 4))[rng.integers(0, 5, rows)] + rng.normal(size=(rows, 4)) / 20
    vectors[rng.integers(0, rows, 2)] = 0
    vectors[rng.integers(0, rows), 1] = np.nan
    prefers = [[None, np.nan, 0.0, -0.0, 1.0, np.inf][rng.integers(6)] for _ in range(rows)]
    return pl.DataFrame(
        {
            "url": [f"http://example.test/{rng.integers(10**9)}" for _ in range(rows)],
            "title": titles,
            "text": [None if rng.integers(9) == 0 else text for text in texts],
            "h": hashes.astype(np.uint64),
            "v": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32)),
            "q": pl.Series(prefers, dtype=pl.Float64),
        }
    )


def run(folder: Path, workspace: str) -> RunResult:
    file = folder / f"{workspace}.yaml"
    file.write_text(FILE.replace("WORKSPACE", workspace).replace("OUT", f"{workspace}-out"))
    return Pipeline.from_yaml(file).run(progress=False, local=True)


def packages(folder: Path, workspace: str) -> dict[str, bytes]:
    every = [p for end in ("out", "out-parts") for p in (folder / f"{workspace}-{end}").iterdir()]
    return {p.name: p.read_bytes() for p in sorted(every) if p.suffix == ".parquet"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_grown_data_have_the_answers_of_a_fresh_workspace(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = odd_rows(rng, 70)
    (tmp_path / "in").mkdir()
    rows.sample(20, seed=1).write_parquet(tmp_path / "before.parquet")
    for number, part in enumerate((rows[:30], rows[30:31], rows[31:])):
        part.write_parquet(tmp_path / "in" / f"{9 - number}.parquet")
        grown = run(tmp_path, "grown")
    fresh = run(tmp_path, "fresh")
    table = grown.table().sort("uid")
    assert table.equals(fresh.table().sort("uid"), null_equal=True)
    assert all(table[name].drop_nulls().len() > 3 for name in (*COUNTED, "same_against_set"))
    assert packages(tmp_path, "grown") == packages(tmp_path, "fresh")


def test_vectors_of_any_size_are_compared_and_those_without_a_way_fail_alone() -> None:
    ways = np.array([[3.0, 4.0], [3.0, 4.0], [-4.0, 3.0]])
    for dtype, size in ((np.float64, 1e200), (np.float64, 1e-200), (np.float32, 1e30),
                        (np.float32, 1e-30), (np.float16, 1e-3)):  # fmt: skip
        vectors = [*(ways * size).astype(dtype), *np.array([[0, 0], [np.inf, 1]], dtype)]
        values = pa.array([list(v) for v in vectors], pa.list_(pa.from_numpy_dtype(dtype)))
        found = dedup(global_rows(v=values), kind="semantic", on=["v"])
        assert found["dup_of"].to_pylist() == [None, "u000", None, None, None]
        failed: list[Any] = found["error"].to_pylist()
        assert [e is not None for e in failed] == [False, False, False, True, True]
