"""One stage for every kind of duplicate: against brute force, whatever the order and partitions."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pairmill.schemas.expressions import frame_of
from pairmill.stages.components import Forest
from pairmill.stages.dedup.clusters import clusters_of, least_of_each
from pairmill.stages.dedup.config import DedupConfig, NearDedupConfig
from pairmill.stages.dedup.exact import first_by, first_of
from pairmill.stages.dedup.hamming import bands_for, join_within
from pairmill.stages.dedup.looks import Looks, components
from pairmill.stages.dedup.stage import DedupStage
from pairmill.work.far_components import far_components
from pairmill.work.linking import COMPONENT, edges_of, spread_rows, with_components
from tests.test_components import OwnHands


def global_rows(**columns: object) -> pa.Table:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    uids = columns.pop("uid", None) or [f"u{i:03d}" for i in range(n)]
    return pa.table({**columns, "uid": uids, "#order": list(range(n))})


def dedup(rows: pa.Table, of: type[DedupStage] = DedupStage, **options: object) -> pa.Table:
    stage = of(of.Config.model_validate(options))
    stage.bind(rows.schema)
    return stage(rows)


def in_partitions(rows: pa.Table, partitions: int, **options: object) -> pa.Table:
    """As a cluster answers: rows under their keys, what each partition connects, components."""
    stage = DedupStage(DedupConfig.model_validate(options))
    stage.bind(rows.schema)
    pieces = [rows.slice(at, 7) for at in range(0, rows.num_rows, 7)]
    samples = [stage.sample(piece, rows.num_rows) for piece in pieces]
    told = [s for s in samples if s is not None]
    known = stage.learn(pa.concat_tables(told), rows.num_rows) if told else None
    spread = pa.concat_tables(spread_rows(stage, piece, known) for piece in pieces)
    place = (spread["#key"].to_numpy() * 2654435761) % partitions
    pairs: list[list[pa.Table]] = []
    for number in range(partitions):
        met = spread.take(pa.array(np.flatnonzero(place == number)))
        pairs.append([edges_of(stage, met, known)] if met.num_rows else [])
    parts, _ = far_components(pairs, rows.num_rows, OwnHands())
    beside = with_components(rows, partitions, rows.num_rows, parts.__getitem__)
    return stage.answer(rows, beside[COMPONENT].to_numpy())


def by_uid(rows: pa.Table, answer: pa.Table) -> list[dict[str, object]]:
    return answer.append_column("uid", rows["uid"]).sort_by("uid").to_pylist()


def same_partition(one: np.ndarray, two: np.ndarray) -> bool:
    met = len(set(zip(one.tolist(), two.tolist(), strict=True)))
    return met == len(set(one.tolist())) == len(set(two.tolist()))


def test_exact_dedup_is_what_polars_says_and_ties_are_decided_by_uid() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 20, 300).tolist(), rng.integers(0, 3, 300).tolist()
    found = frame_of(dedup(global_rows(a=a, b=b), on=["a", "b"]))
    frame = pl.DataFrame({"a": a, "b": b, "uid": [f"u{i:03d}" for i in range(300)]})
    first = frame.group_by("a", "b").agg(pl.col("uid").min().alias("first"), pl.len().alias("size"))
    expected = frame.join(first, on=["a", "b"], how="left", maintain_order="left")
    assert found["cluster_size"].to_list() == expected["size"].to_list()
    assert found["cluster_id"].to_list() == expected["first"].to_list()
    assert found["dup_of"].to_list() == [
        None if u == f else f for u, f in expected.select("uid", "first").iter_rows()
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.text("ab", max_size=2), st.integers(0, 2)), min_size=1),
    st.booleans(),
)
def test_equal_rows_and_the_least_uids_are_those_of_groups(rows: list[Any], long: bool) -> None:
    keys = pl.DataFrame(rows, schema=["text", "number"], orient="row", infer_schema_length=None)
    keys = keys.cast({"text": pl.String, "number": pl.Int64}).with_row_index("at")
    first = keys.select(pl.col("at").first().over("text", "number").cast(pl.Int64))["at"]
    found = first_of(keys.drop("at"))
    assert found.to_list() == first.to_list()
    uids = pl.Series([f"{'0' * 9 * long}{(i * 7) % 10}{i}".zfill(11) for i in range(len(rows))])
    for names in (uids, uids.str.strip_chars_start("0")):  # of one length, and of several
        least = pl.DataFrame({"of": first, "uid": names}).select(
            pl.col("uid") == pl.col("uid").min().over("of")
        )
        halves = pa.chunked_array([names[:3].to_arrow(), names[3:].to_arrow()])
        least_at = least_of_each(found.to_numpy(), np.arange(len(rows)), halves)
        assert least_at.tolist() == least["uid"].arg_true().to_list()


def test_few_repeats_among_many_rows_are_named_as_all_of_them_would_be() -> None:
    """Of few repeats texts are taken chunk by chunk; they are the same as where most repeat."""
    uids = [f"{(i * 7) % 40:04d}" for i in range(40)]
    parts = pa.chunked_array([uids[:11], uids[11:12], [], uids[12:]], pa.large_string())
    repeated = {38: 3, 12: 3, 20: 11}  # of the first the repeat has the lesser uid
    labels = np.arange(40)
    for row, first in repeated.items():
        labels[row] = labels[first]
    few = clusters_of(pa.table({"uid": parts}), labels, None, None)
    dup_of, cluster_id = (column.to_pylist() for column in few.named(parts))
    for row in range(40):
        same = [uids[i] for i in np.flatnonzero(labels == labels[row])]
        assert cluster_id[row] == min(same)
        assert dup_of[row] == (min(same) if uids[row] != min(same) else None)
    assert few.sizes.max() == 3


def test_hashes_that_meet_in_a_slot_are_told_apart() -> None:
    few = np.array([1, 2, 1, 3, 2**63, 2, 0, 0], np.uint64)  # their upper bits agree
    assert first_by(few).tolist() == [0, 1, 0, 3, 4, 1, 6, 6]


def test_dedup_prefers_the_larger_value_of_an_expression_then_the_smaller_uid() -> None:
    rows = global_rows(a=[1, 1, 1, 2], w=[5, 3, 9, 1], h=[1, 3, 1, 1], uid=["d", "c", "b", "a"])
    assert dedup(rows, on=["a"], prefer="w * h")["dup_of"].to_pylist() == ["b", "b", None, None]


def test_row_without_a_preference_is_neither_first_nor_lost() -> None:
    rows = global_rows(a=[1, 1, 1, 2, 3, 3], q=[np.nan, None, -5.0, None, None, np.nan])
    found = dedup(rows, on=["a"], prefer="q")
    assert found["dup_of"].to_pylist() == ["u002", "u002", None, None, None, "u004"]


def test_texts_and_addresses_are_made_alike_where_that_is_asked_for() -> None:
    texts = [
        "A red ball!",
        "a  red\tball",
        "Ａ RED BALL",
        "a red bell",
        "赤いボール。",
        "赤いボール",
    ]
    found = dedup(global_rows(t=texts), on=["t"], normalise="text")
    assert found["dup_of"].to_pylist() == [None, "u000", "u000", None, None, "u004"]
    urls = [
        "http://Example.org:80/a/?b=2&a=1&utm_source=x#top", "https://www.example.org/a?a=1&b=2",
        "https://example.org/A?a=1&b=2", "https://example.org:8080/a?a=1&b=2", "no address",
    ]  # fmt: skip
    found = dedup(global_rows(u=urls), on=["u"], normalise="url")
    assert found["dup_of"].to_pylist() == [None, "u000", None, None, None]


def test_merge_gathers_the_values_of_a_cluster_and_loses_none() -> None:
    rows = global_rows(
        h=["x", "y", "x", "x"], text=["one", None, "two", None],
        url=["u1", "u2", "u3", "u4"], source=["a", "a", "b", "c"], q=[1, 1, 3, 2],
    )  # fmt: skip
    found = dedup(rows, on=["h"], on_duplicate="merge", prefer="q")
    assert found["merged_text"].to_pylist() == [None, [None], ["two", None, "one"], None]
    assert found["merged_url"].to_pylist() == [None, ["u2"], ["u3", "u4", "u1"], None]
    every = [v for values in found["merged_source"].to_pylist() if values for v in values]
    assert sorted(every) == sorted(rows["source"].to_pylist())


@pytest.mark.parametrize(
    ("options", "gate"),
    [
        ({}, "dup_of IS NULL"),
        ({"name": "twins"}, "twins_dup_of IS NULL"),
        ({"on_duplicate": "mark"}, None),
        ({"keep": None}, None),
        ({"against": {"eval": "x"}}, "dup_of IS NULL AND against_set IS NULL"),
        ({"against": {"eval": "x"}, "within": False}, "against_set IS NULL"),
    ],
)
def test_gate_follows_from_what_duplicates_become(
    options: dict[str, Any], gate: str | None
) -> None:
    assert DedupConfig.model_validate({"on": ["a"], **options}).keep == gate


def test_near_dedup_is_dedup_of_pictures_with_its_old_keys() -> None:
    config = NearDedupConfig.model_validate({"hash": "h"})
    assert (config.kind, config.on, config.keep) == ("perceptual", ["h"], "near_dup_of IS NULL")
    with pytest.raises(ValueError, match="`radius` goes with `kind: perceptual`, not `exact`"):
        DedupConfig(on=["a"], radius=3)


def alike(rng: np.random.Generator, looks: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and thumbnails: copies that differ in a few bits and a little in colour."""
    hashes = np.repeat(rng.integers(0, 2**63, looks, dtype=np.uint64), copies)
    for _ in range(2):
        hashes ^= np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
    pixels = np.repeat(rng.integers(0, 255, (looks, 12)), copies, axis=0)
    shifted = pixels + rng.integers(-6, 7, (len(hashes), 1))
    return hashes, np.clip(shifted, 0, 255).astype(np.uint8)


def brute(words: np.ndarray, radius: int, near: np.ndarray | None = None) -> np.ndarray:
    distance = np.bitwise_count(words[:, None] ^ words[None]).sum(2, dtype=int)
    together = distance <= radius if near is None else (distance <= radius) & near
    return connected_components(coo_matrix(together), directed=False)[1]


@pytest.mark.parametrize(("looks", "copies", "radius"), [(60, 4, 4), (3, 120, 7), (200, 1, 15)])
def test_clusters_of_looks_are_those_of_brute_force(looks: int, copies: int, radius: int) -> None:
    hashes, pixels = alike(np.random.default_rng(looks), looks, copies)
    apart = np.abs(pixels[:, None].astype(int) - pixels[None])
    near = (apart.mean(2) <= 5) & (apart.max(2) <= 6)
    found = components(hashes[:, None], pixels, radius, 5.0, 6)
    assert same_partition(found, brute(hashes[:, None], radius, near))


@pytest.mark.slow
@given(
    bits=st.sampled_from([64, 128, 256]),
    radius=st.integers(0, 14),
    count=st.integers(1, 6),
    centres=st.integers(1, 12),
    flips=st.integers(0, 9),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_hashes_within_a_radius_are_those_of_brute_force_for_any_bands(
    bits: int, radius: int, count: int, centres: int, flips: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**64, (centres, bits // 64), np.uint64)[rng.integers(0, centres, 90)]
    for _ in range(flips):
        at = rng.integers(0, 64, 90).astype(np.uint64)
        words[np.arange(90), rng.integers(0, bits // 64, 90)] ^= np.uint64(1) << at
    bands = bands_for(bits, radius, 90, min(count, radius + 1))
    assert sum(band.flips + 1 for band in bands) == radius + 1
    if max(band.flips for band in bands) <= 2:
        forest = Forest(90)
        join_within(forest, words, radius, None, bands)
        assert same_partition(forest.labels(), brute(words, radius))


def test_a_look_that_comes_often_costs_its_number_and_not_the_square_of_it() -> None:
    rng = np.random.default_rng(4)
    hashes, pixels = alike(rng, 1, 4000)
    pixels[7] = 255 - pixels[7]  # one that hashes as they do and looks otherwise
    looks = Looks(hashes[:, None], pixels, 12.0)
    assert len(np.unique(looks.components(7))) == 2
    assert looks.compared < 40 * 4000
    assert looks.multiplied < 40 * 4000


def test_equal_hashes_whose_thumbnails_differ_are_told_apart_by_sums_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 192)).astype(np.uint8)
    looks = Looks(np.full((600, 1), 7, np.uint64), pixels, 12.0)
    assert len(np.unique(looks.components(7))) == 600
    assert looks.compared < 600 * 599 / 2 / 20


def test_a_chain_does_not_swallow_what_is_far_from_the_row_that_stands_for_it() -> None:
    rows = global_rows(h=np.array([0, 0b111, 0b111111, 0b111111111], np.uint64))
    found = dedup(rows, kind="perceptual", on=["h"], radius=3)
    assert found["dup_of"].to_pylist() == [None, "u000", None, None]
    assert found["cluster_size"].to_pylist() == [2, 2, 1, 1]
    wide = dedup(rows, kind="perceptual", on=["h"], radius=3, max_diameter=6)
    assert wide["dup_score"].to_pylist() == [None, 3, 6, None]


def test_pdq_hashes_are_compared_as_text_and_a_broken_one_fails_alone() -> None:
    near = f"{1 << 255 | 7:064x}"
    rows = global_rows(p=["0" * 64, f"{7:064x}", "no hash", f"{(1 << 200) - 1:064x}", near])
    found = dedup(rows, kind="perceptual", on=["p"], radius=3)
    assert found["dup_of"].to_pylist() == [None, "u000", None, None, None]
    assert [e and e["class"] for e in found["error"].to_pylist()][2] == "not_comparable"


KINDS: dict[str, dict[str, Any]] = {
    "exact": {"on": ["t"], "normalise": "text"},
    "perceptual": {"kind": "perceptual", "on": ["h"], "radius": 4, "prefer": "q"},
    "text": {"kind": "text", "on": ["t"], "threshold": 0.5, "shingle_size": 1},
    "semantic": {"kind": "semantic", "on": ["v"], "threshold": 0.9},
    "cells": {"kind": "semantic", "on": ["v"], "threshold": 0.9, "cells": 5, "probes": 2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("partitions", [1, 3, 16])
def test_answer_depends_on_neither_partitions_nor_order(kind: str, partitions: int) -> None:
    rng = np.random.default_rng(5)
    hashes, pixels = alike(rng, 25, 4)
    words = np.array("red blue ball cat dog on a the meadow beach".split())
    texts = [" ".join(words[rng.integers(0, 10, 2)]) for _ in range(100)]
    vectors = np.repeat(rng.normal(size=(30, 16)), 4, axis=0)[:100] + rng.normal(size=(100, 16)) / 6
    columns = {"h": hashes, "h_thumbnail": list(pixels), "t": texts, "v": list(vectors)}
    rows = global_rows(**columns, q=rng.integers(0, 3, 100))
    whole = by_uid(rows, dedup(rows, **KINDS[kind]))
    assert sum(row["dup_of"] is not None for row in whole) > 20
    shuffled = rows.take(pa.array(rng.permutation(100))).drop_columns(["#order"])
    shuffled = shuffled.append_column("#order", pa.array(np.arange(100)))
    assert by_uid(shuffled, dedup(shuffled, **KINDS[kind])) == whole
    assert by_uid(shuffled, in_partitions(shuffled, partitions, **KINDS[kind])) == whole
