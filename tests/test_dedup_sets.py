"""Rows that other sets hold, texts and embeddings: what is found, what is told, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pairmill import Pipeline
from pairmill.images import decode_rgb
from pairmill.stages.dedup.against import BadSet
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.shingles import jaccard, shingles
from pairmill.stages.dedup.stage import DedupStage
from pairmill.stages.dedup.text import Text, missed
from tests.conftest import jpeg
from tests.test_dedup import dedup, global_rows, same_partition
from tests.test_dedup_pictures import hashed


def python_shingles(text: str, size: int) -> set[tuple[str, ...]]:
    units = "".join(f" {c} " if ord(c) > 0x2FFF else c for c in text.lower()).split()
    return {tuple(units[i : i + size]) for i in range(len(units) - size + 1)}


def captions(rows: int, seed: int = 0) -> list[str]:
    """Texts of 6 to 12 words, every other one a copy of an earlier one with words exchanged."""
    rng = np.random.default_rng(seed)
    words = [*(f"word{i}" for i in range(40)), *"赤い青いボール犬猫"]
    found: list[str] = []
    for i in range(rows):
        text = list(rng.choice(words, rng.integers(6, 13)))
        if i % 2:
            text = found[rng.integers(len(found))].split()
            text[rng.integers(len(text))] = str(rng.choice(words))
        found.append(" ".join(text))
    return found


def test_jaccard_of_shingles_is_that_of_sets_of_words_and_characters() -> None:
    texts = [*captions(40), "", "one", "赤いボールと犬", "赤いボールと猫"]
    one, two = np.triu_indices(len(texts), 1)
    found = jaccard(*[shingles(pl.Series(texts), True, 2)] * 2, one, two)
    for i, j, score in zip(one, two, found, strict=True):
        a, b = (python_shingles(texts[k], 2) for k in (i, j))
        assert score == pytest.approx(len(a & b) / max(1, len(a | b)))


def test_text_duplicates_are_those_of_brute_force_and_short_texts_only_equal_ones() -> None:
    texts = [*captions(400), "red ball", "red ball", "red bell", "Red Ball!"]
    rows = global_rows(t=texts)
    options: dict[str, Any] = {"threshold": 0.6, "shingle_size": 3, "permutations": 256}
    stage = DedupStage(DedupConfig(kind="text", on=["t"], **options))
    found = stage.links(rows, None)
    cut = shingles(pl.Series(texts), True, 3)
    one, two = np.triu_indices(len(texts), 1)
    near = jaccard(cut, cut, one, two) >= 0.6
    edges = coo_matrix((near[near], (one[near], two[near])), [len(texts)] * 2)
    assert same_partition(found, connected_components(edges, directed=False)[1])
    assert 20 < near.sum() < 400
    assert len(set(found[-4:].tolist())) == 2


def test_plan_says_how_many_pairs_minhash_misses_and_a_count_agrees() -> None:
    kind = Text(DedupConfig(kind="text", on=["t"], threshold=0.7, permutations=16))
    assert "MinHash: 8 bands of 2 values" in kind.notes()[0]
    rng = np.random.default_rng(0)
    shared = [" ".join(f"s{k}x{i}" for i in range(20)) for k in range(3000)]
    sides = [[f"{s} " + " ".join(f"{side}{k}y{i}" for i in range(10))
              for k, s in enumerate(shared)] for side in "ab"]  # fmt: skip
    cut = shingles(pl.Series([*sides[0], *sides[1]]), True, 1)  # a Jaccard similarity of 0.5 each
    keys = kind.keys_of(cut)
    met = np.any([k[:3000] == k[3000:] for k in keys], axis=0)
    assert 1 - met.mean() == pytest.approx((1 - 0.5**2) ** 8, abs=0.03)
    assert missed(0.5, 8, 2) == pytest.approx(
        np.mean((1 - rng.uniform(0.5, 1, 10**5) ** 2) ** 8), abs=0.002
    )


def test_semantic_duplicates_are_exact_where_rows_are_few_and_nearly_so_in_cells() -> None:
    rng = np.random.default_rng(1)
    vectors = np.repeat(rng.normal(size=(400, 32)), 3, axis=0) + rng.normal(size=(1200, 32)) / 9
    rows = global_rows(v=list(vectors.astype(np.float16)))
    units = vectors.astype(np.float16).astype(np.float32)
    units /= np.linalg.norm(units, axis=1)[:, None]
    close = units @ units.T >= 0.97
    expected = connected_components(coo_matrix(close), directed=False)[1]
    options: dict[str, Any] = {"kind": "semantic", "on": ["v"], "threshold": 0.97}
    stage = DedupStage(DedupConfig(**options))
    assert same_partition(stage.links(rows, None), expected)
    stage = DedupStage(DedupConfig(**options, cells=30, probes=4))
    known = stage.learn(stage.sample(rows, 1200) or pa.table({}), 1200)
    found = stage.links(rows, known)
    one, two = np.nonzero(np.triu(close, 1))
    assert np.mean(found[one] == found[two]) >= 0.99
    assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == len(set(found.tolist()))


def test_vectors_that_cannot_be_compared_fail_alone() -> None:
    rows = global_rows(v=[[1.0, 0.0], [0.0, 0.0], [1.0], [np.nan, 1.0], [1.0, 0.01], [0.0, 1.0]])
    found = dedup(rows, kind="semantic", on=["v"])
    assert found["dup_of"].to_pylist() == [None, None, None, None, "u000", None]
    assert [e is not None for e in found["error"].to_pylist()] == [False, True, True, True] + [
        False
    ] * 2


def test_rows_that_stand_in_other_sets_name_set_and_member(
    tmp_path: Path, photos: list[bytes]
) -> None:
    folder = tmp_path / "eval"
    folder.mkdir()
    for i, data in enumerate(photos[:3]):
        (folder / f"{i}.jpg").write_bytes(data)
    small = decode_rgb(photos[1])
    copy = jpeg(small.resize((small.width // 2, small.height // 2)), 60)
    rows = hashed([photos[0], copy, photos[4], photos[5], photos[5]])
    seen = hashed([photos[4]]).rename_columns(
        [{"uid": "key", "image_hash": "h"}.get(n, n) for n in rows.schema.names]
    )
    pq.write_table(seen, tmp_path / "seen.parquet")
    options: dict[str, Any] = {"kind": "perceptual", "on": ["image_hash"]}
    found = dedup(rows, against={"eval": str(folder)}, **options)
    assert found["against_set"].to_pylist() == ["eval", "eval", None, None, None]
    assert [m and Path(m).name for m in found["against_member"].to_pylist()][:2] == [
        "0.jpg", "1.jpg"
    ]  # fmt: skip
    assert found["against_score"].to_pylist()[0] == 0
    assert found["dup_of"].to_pylist() == [None, None, None, None, "u03"]
    with pytest.raises(BadSet, match=r"has no column 'image_hash' .*`against_on`"):
        dedup(rows, against={"seen": str(tmp_path / "seen.parquet")}, **options)
    path = {"seen": str(tmp_path / "seen.parquet")}
    found = dedup(rows, against=path, against_on="h", within=False, **options)
    assert found["against_member"].to_pylist() == [None, None, "u00", None, None]
    assert found["dup_of"].null_count == 5
    (folder / "broken.jpg").write_bytes(photos[0][:500])
    with pytest.raises(BadSet, match=r"against 'eval' .*broken\.jpg"):
        dedup(rows, against={"eval": str(folder)}, **options)


@pytest.mark.parametrize(
    ("kind", "own", "other"),
    [
        ("text", ["a red ball on the wide green meadow", "nothing of it"], ["a red ball on the wide green meadow today"]),
        ("exact", ["a", "b"], ["a"]),
        ("semantic", [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.05]]),
    ],
)  # fmt: skip
def test_every_kind_looks_in_other_sets(
    tmp_path: Path, kind: str, own: list[Any], other: list[Any]
) -> None:
    pq.write_table(pa.table({"c": other, "id": ["m0"]}), tmp_path / "set.parquet")
    found = dedup(
        global_rows(c=own), kind=kind, on=["c"], against={"s": str(tmp_path / "set.parquet")}
    )
    assert found["against_member"].to_pylist() == ["m0", None]


@pytest.mark.parametrize(
    ("own", "other", "member"),
    [
        (pa.array([1, 2]), pa.array([1.5, 2.0]), [None, "1"]),
        (pa.array([1], pa.int32()), pa.array([2**32 + 1]), [None]),
        (pa.array([True, False]), pa.array([1, 2]), ["0", None]),
        (pa.array([0.0, np.nan]), pa.array([np.nan, -0.0]), ["1", "0"]),
        (pa.array(["a", "7"]), pa.array(["b", "a"], pa.string_view()), ["1", None]),
        (pa.array(["a", "7"]), pa.array([7, 8]), [None, "0"]),
        (pa.array(["a", "b"]), pa.array(["b"]).dictionary_encode(), [None, "0"]),
        (pa.array(["a"]), pa.array([None, None]), [None]),
        (pa.array([["a"], []]), pa.array([[], ["b"]]), [None, "0"]),
    ],
)
def test_equal_values_of_another_type_are_found_and_none_is_cut_to_size(
    tmp_path: Path, own: pa.Array, other: pa.Array, member: list[str | None]
) -> None:
    names = [str(i) for i in range(len(other))]
    pq.write_table(pa.table({"c": other, "id": names}), tmp_path / "set.parquet")
    against = {"s": str(tmp_path / "set.parquet")}
    found = dedup(global_rows(c=own), on=["c"], against=against)
    assert found["against_member"].to_pylist() == member
    if pa.types.is_string(own.type) and not pa.types.is_integer(other.type):
        found = dedup(global_rows(c=own), on=["c"], against=against, normalise="text")
        assert found["against_member"].to_pylist() == member
    if pa.types.is_boolean(own.type):
        with pytest.raises(BadSet, match=r"'c' is Int64 there, and List\(String\) in the rows"):
            dedup(global_rows(c=pa.array([["a"]])), on=["c"], against=against)


def test_second_crawl_is_looked_for_in_the_package_of_the_first(
    tmp_path: Path, photos: list[bytes]
) -> None:
    for crawl, chosen in (("first", (0, 1, 2)), ("second", (1, 3))):
        (tmp_path / crawl).mkdir()
        for i in chosen:
            image = decode_rgb(photos[i])
            data = photos[i] if crawl == "first" else jpeg(image, 50)
            (tmp_path / crawl / f"{i}.jpg").write_bytes(data)
            (tmp_path / crawl / f"{i}.txt").write_text(f"photo {i}")
        last = "" if crawl == "first" else ", against: {last month: first-package}"
        (tmp_path / f"{crawl}.yaml").write_text(
            f"name: {crawl}\nsource: {{type: folder, path: {crawl}}}\nstages:\n"
            f"  - stage: image_hash\n  - {{stage: dedup, kind: perceptual, on: [image_hash]{last}}}\n"
            f"outputs: [{{type: webdataset, path: {crawl}-package}}]\n"
        )
        result = Pipeline.from_yaml(tmp_path / f"{crawl}.yaml").run(progress=False, local=True)
    table = result.table().sort("url" if "url" in result.table().columns else "uid")
    assert sorted(table["text"].to_list()) == ["photo 1", "photo 3"]
    kept = table.filter(pl.col("fate") == "kept")
    assert kept["text"].to_list() == ["photo 3"]
    dropped = table.filter(pl.col("fate") == "dropped")
    assert dropped["against_set"].to_list() == ["last month"]
    assert "dedup: rows that stand in other sets: last month ×1" in result.notes
