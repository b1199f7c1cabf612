"""What several scorers say together: mean, spread, and where they contradict one another."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.expressions import frame_of
from pairmill.stages.base import GlobalStage
from pairmill.stages.select.noise import ScoreMixture


class AgreementConfig(StageConfig):
    """Several scores on one scale: their mean and spread, and the probability of noise that they
    give together (ALBEF, TeachText: web noise met by agreement of several encoders).

    `keep: agreement_spread < 1` drops rows about which they disagree; with two encoders,
    `agreement_difference` (first less last) mines CLIP-blind pairs.
    """

    stage: Annotated[Literal["agreement"], SPEED] = "agreement"
    of: list[str] = Field(min_length=2, max_length=16)
    """Numeric columns, high for pairs that match."""


class AgreementStage(GlobalStage):
    """Scores are put on the scale of the normal distribution by their ranks (ties: mean rank), so
    that no scorer weighs more than another; a row without one of them goes by the others.
    """

    Config = AgreementConfig
    prefix = "agreement"

    def reads(self) -> list[str]:
        return list(self.config.of)

    def may_lack(self) -> list[str]:
        return self.reads()

    def writes(self) -> pa.Schema:
        c, real = self.column, pa.float64()
        return pa.schema(
            [
                column(c("mean"), real, "mean of the scores, in standard deviations", role="score"),
                column(c("spread"), real, "standard deviation between the scores", "", 0),
                column(c("difference"), real, "the first score less the last"),
                column(c("noise"), real, "probability of noise by all scores", "", 0, 1),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame = frame_of(rows)
        raw = [
            frame[name].cast(float).fill_null(float("nan")).to_numpy() for name in self.config.of
        ]
        ranked = np.stack([normal_scores(score) for score in raw])
        there = np.isfinite(ranked)
        count = there.sum(0)
        mean = np.divide(np.nansum(ranked, 0), count, out=np.full(rows.num_rows, np.nan),
                         where=count > 0)  # fmt: skip
        away = np.where(there, ranked - mean, 0.0)
        spread = np.sqrt(np.divide((away**2).sum(0), count, out=np.zeros(rows.num_rows),
                                   where=count > 0))  # fmt: skip
        spread[count < 2] = np.nan
        columns = [mean, spread, ranked[0] - ranked[-1], together(raw)]
        return pa.table([pa.array(c, from_pandas=True) for c in columns], schema=self.writes())


def normal_scores(score: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks (Blom's), NaN where there is no score."""
    from scipy.stats import norm, rankdata

    found, known = np.full(len(score), np.nan), np.isfinite(score)
    ranks = rankdata(score[known])
    found[known] = norm.ppf((ranks - 0.375) / (known.sum() + 0.25))
    return found


def together(scores: list[np.ndarray]) -> np.ndarray:
    """Posterior of noise from independent scorers: odds of each mixture multiply, the prior (their
    mean) counts once.
    """
    odds, priors, known = np.zeros(len(scores[0])), [], np.zeros(len(scores[0]), np.int64)
    for score in scores:
        there = np.isfinite(score)
        mixture = ScoreMixture.fitted(score[there])
        prior = float(np.clip(mixture.weights[0], 1e-6, 1 - 1e-6))
        priors.append(np.log(prior / (1 - prior)))
        noise = np.clip(mixture.noise(score[there]), 1e-9, 1 - 1e-9)
        odds[there] += np.log(noise / (1 - noise)) - priors[-1]
        known += there
    found = 1 / (1 + np.exp(-(odds + float(np.mean(priors)))))
    found[known == 0] = np.nan
    return found
