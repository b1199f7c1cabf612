"""Rows near texts, pictures and vectors: against brute force, for any cut and order of the rows."""

import io
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pairmill.api import Pipeline
from pairmill.demo.show import MODELS
from pairmill.errors import PairmillError, PipelineFileError
from pairmill.models.vectors import unit
from pairmill.stages.select.retrieve import RetrieveConfig, RetrieveStage

Row = dict[str, Any]
DIM = 6


def vectors(seed: int, rows: int) -> np.ndarray:
    """Some of them equal, one nothing but zeros, one NaN."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, DIM)).astype(np.float16).astype(np.float32)
    found[1::4] = found[: len(found[1::4])]
    found[rows // 2], found[-1] = 0, np.nan
    return found


def table(values: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return pa.table({"uid": [f"{i:04d}" for i in range(len(values))], "v": column})


def stage_for(queries: np.ndarray, folder: Path, **keys: Any) -> RetrieveStage:
    np.save(folder / "queries.npy", queries)
    sets = {"asked": str(folder / "queries.npy")}
    stage = RetrieveStage(RetrieveConfig(embedding="v", sets=sets, **keys))
    return pickle.loads(pickle.dumps(stage))


def over(stage: RetrieveStage, rows: pa.Table, parts: int, seed: int = 0) -> list[Row]:
    """The answers by uid, over so many partitions of shuffled rows."""
    order = random.Random(seed).sample(range(rows.num_rows), rows.num_rows)
    cuts = np.array_split(np.array(order), parts)
    tables = [rows.take(pa.array(cut)) for cut in cuts if len(cut)]
    samples = [s for t in tables if (s := stage.sample(t, rows.num_rows)) is not None]
    known = stage.learn(pa.concat_tables(samples[::-1]) if samples else None, rows.num_rows)
    merged = stage.merged(pa.concat_tables([stage.summary(t, known) for t in tables]))
    answers = [
        {"uid": uid, **row}
        for t in tables
        for uid, row in zip(t["uid"].to_pylist(), stage.answer(t, merged).to_pylist(), strict=True)
    ]
    return sorted(answers, key=lambda row: row["uid"])


def brute_force(
    rows: np.ndarray, queries: np.ndarray, top: int | None, least: float | None
) -> dict[str, list[tuple[float, int, int]]]:
    """For each uid (cosine, query, rank), the best first."""
    found: dict[str, list[tuple[float, int, int]]] = {}
    for q, query in enumerate(unit(queries)):
        near = []
        for i, row in enumerate(rows):
            if np.isfinite(row).all() and row.any():
                cosine = np.float32(
                    np.dot(query.astype(np.float64), unit(row[None])[0].astype(np.float64))
                )
                if least is None or cosine >= least - 1e-6:
                    near.append((-cosine, f"{i:04d}"))
        for rank, (minus, uid) in enumerate(sorted(near)[:top], 1):
            found.setdefault(uid, []).append((-minus, q, rank))
    return {uid: sorted(them, key=lambda one: (-one[0], one[1])) for uid, them in found.items()}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99), rows=st.integers(3, 40), asked=st.integers(1, 5),
    top=st.sampled_from([1, 3, 50, None]), least=st.sampled_from([None, 0.5, -0.2]),
)  # fmt: skip
def test_the_nearest_rows_are_those_of_brute_force_for_any_cut_and_order(
    seed: int, rows: int, asked: int, top: int | None, least: float | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    if top is None and least is None:
        least = 0.1
    values = vectors(seed, rows)
    queries = np.random.default_rng(seed + 1).normal(size=(asked, DIM)).astype(np.float32)
    queries[0] = values[0] if values[0].any() and np.isfinite(values[0]).all() else queries[0]
    folder = tmp_path_factory.getbasetemp()
    stage = stage_for(queries, folder, top=top, threshold=least)
    expected = brute_force(values, queries, top, least)
    answers = over(stage, table(values), 1)
    fit = np.isfinite(values).all(1) & values.any(1)
    for row, comparable in zip(answers, fit, strict=True):
        assert (row.pop("error", None) or {"class": None})["class"] == (
            None if comparable else "not_comparable"
        )
        mine = expected.get(row["uid"], [])
        assert row["retrieved"] == bool(mine)
        assert row["retrieved_queries"] == ([f"row {q}" for _, q, _ in mine] or None)
        best = mine[0] if mine else (None, None, None)
        assert row["retrieved_query"] == (f"row {best[1]}" if mine else None)
        assert (row["retrieved_similarity"], row["retrieved_rank"]) == (
            pytest.approx(best[0], abs=1e-6) if mine else None, best[2],
        )  # fmt: skip
    for parts in (3, 16):
        again = over(stage, table(values), parts, parts)
        assert [{k: v for k, v in row.items() if k != "error"} for row in again] == answers
    whole = stage(table(values)).drop_columns(["error"]).to_pylist()
    assert [{"uid": r["uid"], **w} for r, w in zip(answers, whole, strict=True)] == answers


def test_cells_find_most_measure_what_they_miss_and_do_not_depend_on_partitions(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(40, 32))
    rows = (topics[rng.integers(0, 40, 4000)] + rng.normal(size=(4000, 32))).astype(np.float32)
    queries = (topics[rng.integers(0, 40, 60)] + rng.normal(size=(60, 32)) / 2).astype(np.float32)
    keys = {"top": 20, "cells": 40}
    exact = stage_for(queries, tmp_path, top=20, search="exact")
    few = stage_for(queries, tmp_path, **keys, probes=1, search="cells")
    every = stage_for(queries, tmp_path, **keys, probes=40, search="cells")
    answers = over(exact, table(rows), 3)
    assert exact.note == "every row beside every query"
    assert over(every, table(rows), 3) == answers
    assert "1.0000 of what exact search gives" in every.note
    found = over(few, table(rows), 1)
    measured = float(few.note.split("in which ")[1].split()[0])
    pairs = [{(r["uid"], q) for r in a for q in r["retrieved_queries"] or ()} for a in (answers, found)]  # fmt: skip
    recall = len(pairs[0] & pairs[1]) / len(pairs[0])
    assert 0.5 < measured < 1
    assert measured < recall < 1  # what was measured is answered exactly
    assert over(few, table(rows), 16, 5) == found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[bytes, str]]) -> Path:
    """A folder with 40 pictures and texts in Parquet, and one picture by itself."""
    folder = tmp_path_factory.mktemp("near")
    some = pictures[:40]
    columns = {"image": [p for p, _ in some], "text": [t for _, t in some]}
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    Image.open(io.BytesIO(some[3][0])).convert("RGB").save(folder / "asked.png")
    return folder


PIPELINE = """
name: near
workspace: workspace
source: {{type: parquet, path: pairs.parquet}}
stages:
  - {{stage: embed, model: {model}, dtype: float32}}
  - {{stage: retrieve, embedding: {column}, {keys}, keep: retrieved}}
"""


def piped(place: Path, keys: str, column: str = "image_embedding") -> Pipeline:
    file = place / "near.yaml"
    file.write_text(PIPELINE.format(model=MODELS / "clip", keys=keys, column=column))
    return Pipeline.from_yaml(file)


@pytest.mark.slow
def test_texts_and_pictures_are_embedded_by_the_model_of_the_column(place: Path) -> None:
    result = piped(place, "texts: [a red ball], sets: {seen: asked.png}, top: 5").run(
        local=True, progress=False
    )
    rows = result.table().sort("retrieved_similarity", descending=True, nulls_last=True)
    kept = rows.filter(pl.col("fate") == "kept")
    assert 5 <= kept.height <= 10
    first = kept.row(0, named=True)
    seen = pq.read_table(place / "pairs.parquet")["text"].to_pylist()
    assert (first["text"], first["retrieved_query"], first["retrieved_rank"]) == (
        seen[3], "asked.png", 1,
    )  # fmt: skip
    assert first["retrieved_similarity"] > 0.999
    from transformers import AutoModel, AutoProcessor

    folder = str(MODELS / "clip")
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    words = processor(text=["a red ball"], return_tensors="pt", padding=True)
    asked = unit(model.get_text_features(**words).pooler_output.detach().numpy())[0]
    cosine = np.array(rows["image_embedding"].to_list(), np.float32) @ asked
    best = set(rows["uid"].gather(np.argsort(-cosine)[:5]).to_list())
    said = rows.filter(pl.col("retrieved_queries").list.contains("a red ball"))
    assert set(said["uid"]) == best


def test_a_set_of_texts_and_a_gate_that_is_loosened_compute_nothing_twice(place: Path) -> None:
    (place / "names.txt").write_text("ball\n\nboat\nball\n", "utf-8")
    keys = 'sets: {names: names.txt}, template: "a photo of a {}", top: 3'
    table = piped(place, keys, "text_embedding").run(local=True, progress=False).table()
    queries = set(table["retrieved_queries"].explode().drop_nulls())
    assert queries == {"ball", "boat"}
    ranks = table.filter("retrieved")["retrieved_rank"].to_list()
    assert max(ranks) <= 3
    assert 3 <= len(ranks) <= 6


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("top: 3", "give `texts`, `sets`, or both"),
        ("texts: [a]", "give `top`"),
        ("texts: [a], top: 3, model: other", "does not exist|no folder|was made by"),
        ("sets: {a: near.yaml}, top: 3", "sets: 'a' .*near.yaml"),
        ("sets: {a: pairs.parquet}, column: nothing, top: 3", "has no column 'nothing'.*image, text"),
        ("sets: {a: gone.txt}, top: 3", "gone.txt"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_for_is_told_before_any_work(
    place: Path, keys: str, said: str
) -> None:
    with pytest.raises((PipelineFileError, PairmillError), match=f"(?s){said}"):
        piped(place, keys).examine()


def test_queries_for_embeddings_of_an_unknown_model_ask_for_its_name(tmp_path: Path) -> None:
    rows = table(vectors(0, 8)).rename_columns(["uid", "v"])
    stage = RetrieveStage(RetrieveConfig(embedding="v", texts=["a"], top=2))
    stage.bind(rows.schema)
    with pytest.raises(PairmillError, match="'v' does not say which model made it"):
        stage(rows)
    wrong = stage_for(np.ones((1, DIM + 1), np.float32), tmp_path, top=2)
    with pytest.raises(PairmillError, match="vectors of 6 numbers, and the queries of 7"):
        wrong(rows)


def test_a_model_that_did_not_make_the_column_is_refused(place: Path) -> None:
    other = place / "other"
    shutil.copytree(MODELS / "clip", other, dirs_exist_ok=True)
    with pytest.raises(PipelineFileError, match="was made by .*vectors of two models"):
        piped(place, f"texts: [a], top: 3, model: {other}")
