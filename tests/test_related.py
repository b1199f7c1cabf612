"""Rows that are brought together with others: by name, by likeness, by one word; against brute
force.
"""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pairmill.stage import check_stage
from pairmill.stages.select.minimal_pair import MinimalPairConfig, MinimalPairStage
from pairmill.stages.select.neighbours import NeighboursConfig, NeighboursStage
from pairmill.stages.select.related import RelatedConfig, RelatedStage


def shuffled(stage: Any, rows: pa.Table) -> None:
    """A row's answer is the same wherever it stands."""
    order = random.Random(1).sample(range(rows.num_rows), rows.num_rows)
    found, again = stage(rows).to_pylist(), stage(rows.take(order)).to_pylist()
    assert again == [found[i] for i in order]


def shop() -> pa.Table:
    """Rows that name others: several, one name of two rows, themselves, what is not there."""
    rng = random.Random(0)
    keys = [f"k{i % 35}" if i % 9 else None for i in range(40)]
    names = [None if i % 11 == 0 else rng.choices([f"k{j}" for j in range(45)], k=i % 6)
             for i in range(40)]  # fmt: skip
    return pa.table(
        {
            "uid": [f"u{i:02d}" for i in rng.sample(range(40), 40)],
            "#order": list(range(40)),
            "key": keys,
            "names": names,
            "price": pa.array([None if i == 5 else float(i) for i in range(40)]),
        }
    )


@pytest.mark.parametrize(("limit", "own"), [(None, False), (2, True)])
def test_related_brings_the_columns_of_the_rows_that_are_named(
    limit: int | None, own: bool
) -> None:
    rows = shop()
    options: dict[str, Any] = {"by": "names", "key": "key", "columns": ["price"]}
    options |= {"limit": limit, "own": own}
    found = check_stage(RelatedStage, rows, **options).to_pylist()
    every = rows.to_pylist()
    for row, answer in zip(every, found, strict=True):
        met: list[dict[str, Any]] = []
        for name in row["names"] or []:
            named = sorted((r for r in every if r["key"] == name), key=lambda r: r["uid"])
            met += [r for r in named if r not in met and (own or r is not row)]
        there = {r["key"] for r in every}
        assert answer["related_dangling"] == sum(n not in there for n in row["names"] or [])
        assert answer["related"] == [r["uid"] for r in met][:limit]
        assert answer["related_price"] == [r["price"] for r in met][:limit]
    assert any(len(a["related"]) > 1 for a in found)
    assert any(a["related_dangling"] for a in found)
    shuffled(RelatedStage(RelatedConfig(**options)), rows)


def test_related_by_uid_takes_one_name_and_refuses_bytes() -> None:
    rows = pa.table({"uid": ["a", "b", "c"], "#order": [0, 1, 2], "of": ["b", None, "x"]})
    found = check_stage(RelatedStage, rows, by="of").to_pydict()
    assert found["related"] == [["b"], [], []]
    assert found["related_dangling"] == [0, 0, 1]
    stage = RelatedStage(RelatedConfig(by="of", columns=["image"]))
    with pytest.raises(ValueError, match="'image' holds bytes"):
        stage.bind(pa.schema([("of", pa.string()), ("image", pa.binary())]))
    with pytest.raises(ValueError, match="'of' names rows by int64, and 'uid' is string"):
        stage.bind(pa.schema([("of", pa.int64()), ("uid", pa.string())]))


def vectors(count: int, seed: int) -> tuple[pa.Table, list[np.ndarray]]:
    """Two teachers' embeddings of pictures and texts; equal texts, and rows without a vector."""
    rng = np.random.default_rng(seed)
    sides = [rng.normal(size=(count, 4)).astype(np.float32) for _ in range(4)]
    for text in sides[1::2]:
        text[5] = text[9]
    sides = [s / np.linalg.norm(s, axis=1, keepdims=True) for s in sides]
    columns = {
        name: pa.array([None if i == 3 and name == "a" else v.tolist() for i, v in enumerate(s)],
                       pa.list_(pa.float32(), 4))
        for name, s in zip("abcd", sides, strict=True)
    }  # fmt: skip
    uids = [f"u{i:03d}" for i in rng.permutation(count)]
    odd = [i % 2 == 1 for i in range(count)]
    return pa.table({"uid": uids, "#order": range(count), **columns, "odd": odd}), sides


@pytest.mark.parametrize("options", [
    {"top": 3}, {"top": 2, "skip": 4, "below": 0.8}, {"top": 5, "margin": 0.2},
    {"top": 50, "least": 0.3},
    {"top": 4, "own": True, "scale": 20.0}, {"top": 3, "among": "odd", "scale": 5.0},
])  # fmt: skip
def test_neighbours_are_brute_forces(options: dict[str, Any]) -> None:
    rows, (a, b, c, d) = vectors(60, 7)
    by = [["a", "b"], ["c", "d"]]
    stage = NeighboursStage(NeighboursConfig(by=by, **options))
    found, uids = stage(rows).to_pylist(), rows["uid"].to_pylist()
    allowed = [i for i in range(60) if i != 3 and (i % 2 or "among" not in options)]
    first = {}
    for i in sorted(allowed, key=lambda i: uids[i]):
        first.setdefault((b[i].tobytes(), d[i].tobytes()), i)
    places = list(first.values())
    for i in range(60):
        if i == 3:
            assert found[i]["neighbours"] is None or found[i]["neighbours"] == []
            continue
        like = {j: float(a[i] @ b[j] + c[i] @ d[j]) / 2 for j in places}
        own = first.get((b[i].tobytes(), d[i].tobytes()))
        near = [
            j for j in sorted(places, key=lambda j: (-like[j], uids[j]))
            if (j != own or options.get("own")) and like[j] >= options.get("least", -1)
            and (like[j] < options.get("below", 2) or j == own)
            and ("margin" not in options or like[j] <= like[own] - options["margin"])
        ]  # fmt: skip
        skip = options.get("skip", 0)
        near = near[skip : skip + options["top"]]
        assert found[i]["neighbours"] == [uids[j] for j in near]
        np.testing.assert_allclose(
            found[i]["neighbours_likeness"], [like[j] for j in near], atol=1e-5
        )
        if scale := options.get("scale"):
            total = sum(np.exp(scale * v) for v in like.values())
            np.testing.assert_allclose(
                found[i]["neighbours_weights"],
                [np.exp(scale * like[j]) / total for j in near], atol=1e-5,
            )  # fmt: skip
            mine = None if own is None else np.exp(scale * like[own]) / total
            assert found[i]["neighbours_own"] == (
                mine if mine is None else pytest.approx(mine, abs=1e-5)
            )
    assert any(f["neighbours"] for f in found)
    shuffled(stage, rows)


def test_neighbours_without_rows_or_company_answer_nothing() -> None:
    rows, _ = vectors(60, 1)
    stage = NeighboursStage(NeighboursConfig(by=[["a", "b"]], scale=3.0))
    assert stage(rows.slice(0, 0)).num_rows == 0
    alone = stage(rows.slice(0, 1)).to_pylist()[0]
    assert alone["neighbours"] == []
    assert alone["neighbours_own"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="list of pairs"):
        NeighboursConfig(by=[["a"]])


WORDS = ("red", "blue", "two"), ("ball", "cup"), ("at", "in"), ("night", "snow")


def test_minimal_pairs_differ_in_one_word_and_the_confused_come_first() -> None:
    rng = np.random.default_rng(2)
    texts = [" ".join(w[rng.integers(len(w))] for w in WORDS) for _ in range(40)]
    texts += ["a ball", "Red ball, in snow!", "", "red ball in snow and rain"]
    sides = [rng.normal(size=(len(texts), 3)).astype(np.float32) for _ in range(2)]
    sides = [s / np.linalg.norm(s, axis=1, keepdims=True) for s in sides]
    columns = {n: pa.array(list(s), pa.list_(pa.float32(), 3)) for n, s in zip("it", sides,
               strict=True)}  # fmt: skip
    uids = [f"u{i:02d}" for i in rng.permutation(len(texts))]
    rows = pa.table({"uid": uids, "#order": range(len(texts)), "text": texts, **columns})
    stage = MinimalPairStage(MinimalPairConfig(embedded=["i", "t"]))
    found = dict(zip(uids, stage(rows).to_pylist(), strict=True))
    said = {u: t.lower().replace(",", "").replace("!", "").split() for u, t in zip(uids, texts,
            strict=True)}  # fmt: skip
    where = {uid: i for i, uid in enumerate(uids)}

    def confusion(one: str, two: str) -> float:
        (i, t), m, n = sides, where[one], where[two]
        return float(i[m] @ t[n] + i[n] @ t[m] - i[m] @ t[m] - i[n] @ t[n]) / 2

    def differ(one: str, two: str) -> list[int]:
        if min(len(said[one]), len(said[two])) < 4 or len(said[one]) != len(said[two]):
            return []
        return [i for i, (a, b) in enumerate(zip(said[one], said[two], strict=True)) if a != b]

    free = set(uids)
    every = sorted(
        ((one, two) for one in uids for two in uids if one < two and len(differ(one, two)) == 1),
        key=lambda pair: -confusion(*pair),
    )
    for one, two in every:
        if {one, two} <= free:
            free -= {one, two}
            for own, other in ((one, two), (two, one)):
                (place,) = differ(one, two)
                assert found[own]["minimal_pair_of"] == other
                assert found[own]["minimal_pair_word"] == said[own][place]
                assert found[own]["minimal_pair_other"] == said[other][place]
                assert found[own]["minimal_pair_confusion"] == pytest.approx(
                    confusion(one, two), abs=1e-5
                )
    assert all(found[uid]["minimal_pair_of"] is None for uid in free)
    assert 0 < len(free) < len(uids) // 2
    shuffled(stage, rows)
    plain = MinimalPairStage(MinimalPairConfig())
    assert plain.column("confusion") not in plain.writes().names
    shuffled(plain, rows.select(["uid", "#order", "text"]))


def test_texts_of_very_many_words_have_minimal_pairs() -> None:
    """More than 65,536 of them: their places once had two bytes, and each the whole text's hash."""
    long = "word " * 70_000
    rows = pa.table(
        {
            "uid": ["a", "b", "c"],
            "#order": range(3),
            "text": [f"{long} ball", f"{long} cup", f"other {long} ball"],
        }
    )
    found = MinimalPairStage(MinimalPairConfig())(rows)
    assert found["minimal_pair_of"].to_pylist() == ["b", "a", None]
    assert found["minimal_pair_word"].to_pylist() == ["ball", "cup", None]
