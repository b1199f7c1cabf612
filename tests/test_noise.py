"""Noise by mixtures and by agreement of scorers, against scikit-learn and the truth."""

import random

import numpy as np
import pyarrow as pa
import pytest

from pairmill.stages.select.agreement import AgreementConfig, AgreementStage
from pairmill.stages.select.noise import NoiseConfig, NoiseStage
from tests.later import stats

SHIFT = {"en": 0.0, "zh": -0.06}


def world(rows: int, seed: int) -> tuple[pa.Table, np.ndarray]:
    """Scores of matched and mismatched pairs in two languages, some missing; the truth."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(rows) < 0.3
    lang = rng.choice(["en", "zh"], rows, p=[0.7, 0.3])
    shift = np.array([SHIFT[name] for name in lang])
    first = np.where(wrong, rng.normal(0.15, 0.03, rows), rng.normal(0.28, 0.04, rows)) + shift
    second = np.where(wrong, rng.normal(-1, 1, rows), rng.normal(1, 1, rows))
    first[:20] = np.nan
    columns = {"first": pa.array(first, from_pandas=True), "second": second, "lang": lang}
    return pa.table({"uid": [f"{i:05d}" for i in range(rows)], **columns}), wrong


def test_noise_is_a_calibrated_probability_in_each_language() -> None:
    """Expected calibration error over ten bins at most .05; means as scikit-learn's mixture."""
    from sklearn.mixture import GaussianMixture

    rows, wrong = world(6000, 1)
    found = NoiseStage(NoiseConfig(by="first", per=["lang"]))(rows)
    noise, known = found["noise"].to_numpy(), np.arange(6000) >= 20
    assert np.isnan(noise[~known]).all()
    bins = np.minimum((noise[known] * 10).astype(int), 9)
    gaps = [
        abs(noise[known][bins == b].mean() - wrong[known][bins == b].mean()) * (bins == b).mean()
        for b in range(10) if (bins == b).any()
    ]  # fmt: skip
    assert sum(gaps) <= 0.05
    for lang in SHIFT:
        mine = known & (np.array(rows["lang"].to_pylist()) == lang)
        score = rows["first"].to_numpy()[mine][:, None]
        peer = GaussianMixture(2, tol=1e-8, max_iter=1000, means_init=[[0.1], [0.3]]).fit(score)
        inner = (score[:, 0] > peer.means_.min()) & (score[:, 0] < peer.means_.max())
        expected = peer.predict_proba(score)[:, peer.means_[:, 0].argmin()]
        np.testing.assert_allclose(noise[mine][inner], expected[inner], atol=0.05)
        order = np.argsort(score[:, 0])
        assert (np.diff(noise[mine][order]) <= 1e-9).all()
    levels = found["noise_level"].to_pylist()
    assert levels[0] is None
    assert set(levels[20:]) == {1, 2, 3, 4, 5}
    assert all(
        level == min(5, int(n * 5) + 1) for n, level in zip(noise[20:], levels[20:], strict=True)
    )


@pytest.mark.parametrize("values", [[0.5], [0.5] * 100, [None, None], [0.1, float("inf"), 0.3]])
def test_too_few_or_equal_scores_give_an_answer(values: list[float | None]) -> None:
    rows = pa.table(
        {"uid": [f"{i}" for i in range(len(values))], "s": pa.array(values, pa.float64())}
    )
    found = NoiseStage(NoiseConfig(by="s"))(rows)["noise"].to_pylist()
    for value, noise in zip(values, found, strict=True):
        known = value is not None and np.isfinite(value)
        assert (noise is not None) == known
        assert not known or 0 <= noise <= 1


def test_two_scorers_together_tell_noise_better_than_each() -> None:
    from sklearn.metrics import roc_auc_score

    rows, wrong = world(4000, 2)
    rows = rows.filter(pa.array(np.array(rows["lang"].to_pylist()) == "en"))
    wrong = wrong[[int(uid) for uid in rows["uid"].to_pylist()]]
    found = AgreementStage(AgreementConfig(of=["first", "second"]))(rows)
    scores = [rows["first"].to_numpy(), rows["second"].to_numpy()]
    known = np.isfinite(scores[0])
    noise = found["agreement_noise"].to_numpy()
    alone = [roc_auc_score(wrong[known], -score[known]) for score in scores]
    assert roc_auc_score(wrong[known], noise[known]) > max(alone)
    assert roc_auc_score(wrong[known], -found["agreement_mean"].to_numpy()[known]) > min(alone)
    assert np.isfinite(noise).all()
    expected = []
    for score in scores:
        there = np.isfinite(score)
        ranks = np.full(len(score), np.nan)
        ranks[there] = stats.norm.ppf((stats.rankdata(score[there]) - 0.375) / (there.sum() + 0.25))
        expected.append(ranks)
    np.testing.assert_allclose(found["agreement_mean"].to_numpy(), np.nanmean(expected, 0))
    np.testing.assert_allclose(
        found["agreement_spread"].to_numpy()[known], np.std(expected, 0)[known]
    )
    difference = found["agreement_difference"].to_numpy()
    np.testing.assert_allclose(difference[known], (expected[0] - expected[1])[known])


@pytest.mark.parametrize(
    "stage",
    [
        NoiseStage(NoiseConfig(by="first", per=["lang"])),
        AgreementStage(AgreementConfig(of=["first", "second"])),
    ],
)
def test_order_of_rows_does_not_matter(stage: NoiseStage | AgreementStage) -> None:
    rows, _ = world(400, 3)
    order = random.Random(0).sample(range(400), 400)
    found, again = stage(rows), stage(rows.take(order))
    for name in found.column_names:
        np.testing.assert_allclose(
            again[name].to_numpy(), found[name].to_numpy()[order], atol=1e-12
        )


def test_noise_is_calibrated_where_mismatched_pairs_are_measured_and_no_scores_are_normal() -> None:
    """Texts about another picture are sometimes near to it, so that their scores have two humps."""
    rng = np.random.default_rng(5)
    rows, dim = 4000, 24
    topic = rng.normal(size=(12, dim))
    about = rng.integers(0, 12, rows)
    wrong = rng.random(rows) < 0.35
    other = np.where(wrong, rng.permutation(about), about)
    image = topic[about] + rng.normal(0, 0.5, (rows, dim))
    own = image + rng.normal(0, 0.5, (rows, dim))
    text = np.where(wrong[:, None], topic[other] + rng.normal(0, 0.7, (rows, dim)), own)
    table = pa.table(
        {
            "uid": [f"{i:05d}" for i in range(rows)],
            "a": pa.array(image.tolist(), pa.list_(pa.float32())),
            "b": pa.array(text.tolist(), pa.list_(pa.float32())),
        }
    )
    stage = NoiseStage(NoiseConfig(embedded=["a", "b"]))
    noise = stage(table)["noise"].to_numpy()
    bins = np.minimum((noise * 10).astype(int), 9)
    gap = sum(
        abs(noise[bins == b].mean() - wrong[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    assert gap <= 0.05
    cosine = (image * text).sum(1) / np.linalg.norm(image, axis=1) / np.linalg.norm(text, axis=1)
    assert (np.diff(noise[np.argsort(cosine)]) <= 1e-6).all()
    order = np.random.default_rng(1).permutation(rows)
    again = stage(table.take(pa.array(order)))["noise"].to_numpy()
    np.testing.assert_allclose(again, noise[order], atol=1e-9)
    few = stage(table.slice(0, 1))["noise"].to_pylist()
    assert few == [0.0]
    assert stage(table.slice(0, 0)).num_rows == 0


def test_noise_wants_a_score_or_embeddings() -> None:
    for keys in ({}, {"by": "a", "embedded": ["a", "b"]}):
        with pytest.raises(ValueError, match="give `by` or `embedded`"):
            NoiseConfig(**keys)
