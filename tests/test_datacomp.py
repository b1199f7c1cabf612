"""DataComp's baselines: the recipes against the published definition, on generated metadata."""

from pathlib import Path

import datacomp_baselines
import numpy as np
import pyarrow as pa
import pytest

from pairmill.errors import StageBroken
from pairmill.filters.nearest import NearestConfig, NearestStage
from pairmill.filters.text_stats import TextStatsConfig, TextStatsStage
from pairmill.stage import check_stage
from pairmill.stages.select.stage import SelectConfig, SelectStage


@pytest.mark.slow
def test_every_baseline_has_the_published_uids(tmp_path: Path) -> None:
    """Ties, nulls, boundary sizes and odd white space are planted; 10⁵ rows in docs/recipes.md."""
    frame = datacomp_baselines.generate(tmp_path, 1200, seed=1)
    expected = datacomp_baselines.published(frame, tmp_path)
    sizes = {name: len(uids) for name, uids in expected.items()}
    assert min(sizes.values()) > 50
    assert len(set(sizes.values())) == len(datacomp_baselines.NAMES)
    for name in datacomp_baselines.NAMES:
        assert datacomp_baselines.achieved(tmp_path, name) == expected[name], name


@pytest.mark.parametrize("without", [0, 3, 7, 9])
def test_a_share_of_all_rows_has_datacomps_threshold_among_rows_without_a_score(
    without: int,
) -> None:
    scores = np.array([0.5, 0.3, 0.3, 0.2, 0.1, 0.9, 0.3, 0.8, 0.7, 0.6])
    scores[10 - without :] = np.nan
    threshold = -np.sort(-scores)[int(len(scores) * 0.4)]
    uids = [f"{i}" for i in range(10)]
    rows = pa.table({"uid": uids, "score": pa.array(scores, from_pandas=True)})
    stage = SelectStage(SelectConfig(by="score", fraction=0.4, of="all"))
    assert stage.may_lack() == ["score"]
    assert stage(rows)["selected"].to_pylist() == (scores >= threshold).tolist()


def test_nearest_centroid_is_argmax_and_hit_by_vectors_or_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    vectors, centroids = (rng.normal(size=(n, 6)).astype(np.float32) for n in (30, 9))
    targets = rng.normal(size=(4, 6)).astype(np.float32)
    np.save(tmp_path / "c.npy", centroids)
    np.save(tmp_path / "t.npy", targets)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 6)
    rows = pa.table({"e": pa.array([*column.to_pylist()[:-1], None], pa.list_(pa.float32(), 6))})
    keys = {"embedding": "e", "centroids": str(tmp_path / "c.npy")}
    found = check_stage(NearestStage, rows, targets=str(tmp_path / "t.npy"), **keys)
    expected = [int((centroids @ v).argmax()) for v in vectors[:-1]]
    assert found["nearest"].to_pylist() == [*expected, None]
    wanted = {int((centroids @ t).argmax()) for t in targets}
    assert found["nearest_hit"].to_pylist() == [*(n in wanted for n in expected), None]
    np.save(tmp_path / "n.npy", np.array(sorted(wanted)))
    again = check_stage(NearestStage, rows, targets=str(tmp_path / "n.npy"), **keys)
    assert again["nearest_hit"] == found["nearest_hit"]
    np.save(tmp_path / "n.npy", np.array([9]))
    with pytest.raises(StageBroken, match="names the centroid 9"):
        NearestStage(NearestConfig(targets=str(tmp_path / "n.npy"), **keys)).setup()


def test_text_stats_by_hand() -> None:
    texts = ["a b\n\nb", "3 dogs, 1,000.5 cats. Yes! no", "", " \u00a0x\x00y", "红。球！"]
    stage = TextStatsStage(TextStatsConfig())
    found = stage(pa.table({"text": texts})).to_pydict()
    assert found["text_stats_tokens"] == [len(datacomp_baselines.fast_tokens(t)) for t in texts]
    assert found["text_stats_tokens"] == [5, 6, 0, 2, 1]
    assert found["text_stats_numbers"] == [0, 2, 0, 0, 0]
    assert found["text_stats_sentences"] == [1, 3, 0, 1, 2]
    assert found["text_stats_longest_word"] == [1, 7, 0, 3, 4]
    share = np.array([1, 2]) / 3
    assert found["text_stats_entropy"][0] == pytest.approx(-(share * np.log2(share)).sum())
    assert found["text_stats_entropy"][2] == 0
