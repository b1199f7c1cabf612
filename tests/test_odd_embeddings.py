"""Embeddings that cannot be compared, and those near the limits of float32: such rows alone fail,
and every stage says the same of them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pairmill.errors import StageBroken
from pairmill.filters.classify import ClassifyConfig, ClassifyStage
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.nearest import NearestConfig, NearestStage
from pairmill.models.vectors import unit
from pairmill.stages.base import Stage
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.stage import DedupStage
from pairmill.stages.select.minimal_pair import MinimalPairConfig, MinimalPairStage
from pairmill.stages.select.neighbours import NeighboursConfig, NeighboursStage
from pairmill.stages.select.noise import NoiseConfig, NoiseStage
from pairmill.stages.select.retrieve import RetrieveConfig, RetrieveStage
from pairmill.stages.select.second_opinion import SecondOpinionConfig, SecondOpinionStage

DIM = 4
STAGES = (
    "nearest", "classify", "clip", "neighbours", "noise", "second_opinion", "minimal_pair",
    "retrieve", "dedup",
)  # fmt: skip
ODD = {
    "zeros": [0.0] * DIM, "infinite": [float("inf"), 1, 0, 0], "nan": [1, float("nan"), 0, 0],
    "a null inside": [1.0, None, 0, 0], "short": [1.0, 2.0], "long": [1.0] * 7, "empty": [],
}  # fmt: skip


def stage_of(kind: str, folder: Path) -> Stage:
    rng = np.random.default_rng(3)
    for name, shape in (("centroids", (3, DIM)), ("queries", (2, DIM)), ("head", (1, DIM))):
        np.save(folder / f"{name}.npy", rng.normal(size=shape).astype(np.float32))
    made: dict[str, Stage] = {
        "nearest": NearestStage(
            NearestConfig(embedding="v", centroids=str(folder / "centroids.npy"))
        ),
        "classify": ClassifyStage(ClassifyConfig(embedding="v", head=str(folder / "head.npy"))),
        "clip": ClipStage(ClipConfig(embedded=["v", "t"])),
        "neighbours": NeighboursStage(NeighboursConfig(by=[["v", "t"]], top=3)),
        "noise": NoiseStage(NoiseConfig(embedded=["v", "t"])),
        "second_opinion": SecondOpinionStage(
            SecondOpinionConfig(first="v", second="t", alike=-0.5, unlike=0.9)
        ),
        "minimal_pair": MinimalPairStage(MinimalPairConfig(embedded=["v", "t"])),
        "retrieve": RetrieveStage(
            RetrieveConfig(embedding="v", sets={"q": str(folder / "queries.npy")}, top=50)
        ),
        "dedup": DedupStage(DedupConfig(kind="semantic", on=["v"], threshold=0.6)),
    }
    stage = made[kind]
    stage.setup()
    return stage


def rows_of(vectors: list[Any], kind: pa.DataType) -> pa.Table:
    texts = np.random.default_rng(4).normal(size=(len(vectors), DIM)).tolist()
    return pa.table(
        {
            "uid": [f"{i:03d}" for i in range(len(vectors))],
            "#order": range(len(vectors)),
            "text": [f"a red thing number {i}" for i in range(len(vectors))],
            "v": pa.array(vectors, kind),
            "t": pa.array(texts, pa.list_(kind.value_type)),
        }
    )


@pytest.mark.parametrize("kind", STAGES)
def test_rows_without_a_vector_fail_alone_whatever_else_comes_with_them(
    kind: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    every = [*rng.normal(size=(12, DIM)).tolist(), *ODD.values()]
    rows = rows_of(every, pa.list_(pa.float32()))
    stage = stage_of(kind, tmp_path)
    answer = stage(rows)
    errors = answer["error"].to_pylist()
    assert errors[:12] == [None] * 12
    assert [e and e["class"] for e in errors[12:]] == ["not_comparable"] * len(ODD)
    alone = stage(rows.slice(0, 12))
    assert answer.slice(0, 12).drop_columns(["error"]) == alone.select(
        [n for n in alone.schema.names if n != "error"]
    )


@pytest.mark.parametrize("kind", [k for k in STAGES if k != "nearest"])
@pytest.mark.parametrize("size", [3e37, 1e19, 1e-13, 1e-30, 1e200, 1e-200])
def test_the_length_of_a_vector_decides_nothing_up_to_the_limits_of_its_type(
    kind: str, size: float, tmp_path: Path
) -> None:
    plain = np.random.default_rng(6).normal(size=(12, DIM))
    scaled = plain.copy()
    scaled[::2] *= size
    stage = stage_of(kind, tmp_path)
    wide = pa.float32() if 1e-40 < size < 1e38 else pa.float64()
    expected, found = (
        stage(rows_of(v.tolist(), pa.list_(wide, DIM))).to_pylist() for v in (plain, scaled)
    )
    for one, two in zip(expected, found, strict=True):
        for name, value in one.items():
            first = value[0] if isinstance(value, list) and value else value
            wanted = pytest.approx(value, abs=1e-5) if isinstance(first, float) else value
            assert two[name] == wanted, name


def test_a_product_beyond_float32_is_no_answer(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.full((2, DIM), 5, np.float32))
    stage = NearestStage(NearestConfig(embedding="v", centroids=str(tmp_path / "c.npy")))
    stage.setup()
    found = stage(
        rows_of([[3e38] * DIM, [3e38, -3e38, 1, 0], [1e30] * DIM], pa.list_(pa.float32()))
    )
    errors = found["error"].to_pylist()
    assert (errors[0]["class"], errors[2]) == ("not_comparable", None)
    assert found["nearest"].to_pylist()[0] is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unit_vectors_of_any_size_and_of_none(dtype: Any) -> None:
    most = float(np.finfo(dtype).max)
    least = float(np.finfo(dtype).smallest_subnormal)
    rows = np.array(
        [[most, most], [-most, 0], [3 * least, 4 * least], [0, 0], [np.inf, 1], [np.nan, 0]], dtype
    )
    found = unit(rows)
    assert found.dtype == dtype
    half = 0.5**0.5
    np.testing.assert_allclose(
        found,
        [[half, half], [-1, 0], [0.6, 0.8], [0, 0], [np.nan] * 2, [np.nan] * 2],
        atol=1e-3 if dtype == np.float16 else 1e-6,
    )


@pytest.mark.parametrize("kind", ["neighbours", "noise", "minimal_pair"])
def test_columns_of_different_lengths_are_told_with_both(kind: str, tmp_path: Path) -> None:
    stage = stage_of(kind, tmp_path)
    fault = r"different lengths .*'v' has 6 numbers?, 't' has 4"
    rows = rows_of(np.ones((5, 6)).tolist(), pa.list_(pa.float32()))
    with pytest.raises(StageBroken, match=fault.replace(" numbers?", "")):
        stage(rows)
    fixed = pa.schema([("v", pa.list_(pa.float32(), 6)), ("t", pa.list_(pa.float32(), 4))])
    with pytest.raises(ValueError, match=fault.replace(" numbers?", "")):
        stage.bind(fixed)
    with pytest.raises(ValueError, match="'v' is string; embeddings are lists of numbers"):
        stage.bind(pa.schema([("v", pa.string()), ("t", pa.list_(pa.float32(), 4))]))


def test_two_encoders_may_have_vectors_of_different_lengths(tmp_path: Path) -> None:
    stage = stage_of("second_opinion", tmp_path)
    rows = rows_of(np.random.default_rng(7).normal(size=(5, 6)).tolist(), pa.list_(pa.float32()))
    stage.bind(rows.schema)
    assert stage(rows)["error"].null_count == 5


def test_a_column_of_another_models_vectors_ends_the_run_by_its_type(tmp_path: Path) -> None:
    rows = rows_of(np.ones((5, 6)).tolist(), pa.list_(pa.float32(), 6))
    with pytest.raises(StageBroken, match="'v' has vectors of 6 numbers, and the centroids of 4"):
        stage_of("nearest", tmp_path)(rows)
    with pytest.raises(StageBroken, match="of 'v' have 6 numbers, and 4 are wanted"):
        stage_of("classify", tmp_path)(rows)


@pytest.mark.parametrize(
    ("targets", "fault"),
    [
        (np.random.default_rng(8).normal(size=(5, 6)), r"holds \(5, 6\), neither numbers .*, 4\)"),
        (np.array([0.5, 1]), r"holds \(2,\), neither numbers"),
        (np.array([0, -1]), "names the centroid -1, and there are 3"),
        (np.array([0, np.nan]), "holds NaN or infinity"),
        (np.full((2, DIM), np.inf), "holds NaN or infinity"),
    ],
)
def test_targets_that_are_neither_numbers_nor_such_vectors_are_refused(
    targets: np.ndarray, fault: str, tmp_path: Path
) -> None:
    stage_of("nearest", tmp_path)
    np.save(tmp_path / "targets.npy", targets)
    config = NearestConfig(
        embedding="v",
        centroids=str(tmp_path / "centroids.npy"),
        targets=str(tmp_path / "targets.npy"),
    )
    with pytest.raises(StageBroken, match=fault):
        NearestStage(config).setup()


def test_pairs_of_one_picture_do_not_disturb_the_order_of_others() -> None:
    """NaN scores in between made the order of a sort, and with it the pairs, a matter of chance."""
    rng = np.random.default_rng(9)
    pictures = rng.normal(size=(30, DIM))
    pictures[::3] = pictures[0]
    rows = rows_of(pictures.tolist(), pa.list_(pa.float32()))
    found = MinimalPairStage(MinimalPairConfig(embedded=["v", "t"]))(rows).to_pylist()
    image, text = (unit(np.array(rows[n].to_pylist())) for n in "vt")
    scores = {
        (a, b): (image[a] @ text[b] + image[b] @ text[a] - image[a] @ text[a] - image[b] @ text[b])
        for a in range(30) for b in range(a) if a % 3 or b % 3
    }  # fmt: skip
    taken: set[int] = set()
    for (a, b), _ in sorted(scores.items(), key=lambda e: -e[1]):
        if not taken & {a, b}:
            taken |= {a, b}
    assert {i for i, r in enumerate(found) if r["minimal_pair_of"]} == taken


def test_centroids_and_heads_answer_as_numpy_does_with_ties_and_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    for _ in range(30):
        count, width = int(rng.integers(2, 9)), int(rng.integers(2, 6))
        centroids = rng.integers(-2, 3, (count, width)).astype(np.float32)
        centroids[-1] = centroids[0]
        targets, vectors = (rng.integers(-2, 3, (n, width)).astype(np.float32) for n in (3, 12))
        weight, bias = rng.normal(size=(count, width)), rng.normal(size=count)
        np.save(tmp_path / "c.npy", centroids)
        np.save(tmp_path / "t.npy", targets)
        np.savez(tmp_path / "h.npz", **{"0.weight": weight, "0.bias": bias})
        places = {key: str(tmp_path / f"{key[0]}.npy") for key in ("centroids", "targets")}
        labels = [f"l{i}" for i in range(count)]
        head = ClassifyConfig(embedding="v", head=str(tmp_path / "h.npz"), labels=labels)
        near, heads = NearestStage(NearestConfig(embedding="v", **places)), ClassifyStage(head)
        near.setup()
        heads.setup()
        rows = pa.table({"v": pa.array(vectors.tolist(), pa.list_(pa.float32()))})
        hits = {int((centroids @ target).argmax()) for target in targets}
        for vector, by, said in zip(
            vectors, near(rows).to_pylist(), heads(rows).to_pylist(), strict=True
        ):
            if not vector.any():
                assert by["nearest"] is said["classify_label"] is None
                continue
            products = centroids @ vector
            best = int(products.argmax())
            found = by["nearest"], by["nearest_product"], by["nearest_hit"]
            assert found == (best, products.max(), best in hits)
            logits = weight @ (vector / np.linalg.norm(vector)) + bias
            chances = np.exp(logits) / np.exp(logits).sum()
            assert list(said["classify_probability"].values()) == pytest.approx(chances, abs=1e-5)
            assert said["classify_label"] == labels[int(chances.argmax())]
