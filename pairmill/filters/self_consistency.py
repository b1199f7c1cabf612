"""What several samples of one model agree on (SIcog's self-consistency)."""

from typing import Annotated, Literal

import pyarrow as pa

from pairmill.filters.text_candidates import CandidatesConfig, candidates_of, check_candidates
from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED
from pairmill.stages.base import Stage
from pairmill.texts.similarity import agreements


class SelfConsistencyConfig(CandidatesConfig):
    """The candidate that agrees most with the others, and how much: what a model says every time it
    is asked is more often true than what it says once.
    """

    stage: Annotated[Literal["self_consistency"], SPEED] = "self_consistency"


class SelfConsistencyStage(Stage):
    """Agreement of two texts is the Dice coefficient of their words and pairs of words; a score,
    not equality of texts.
    """

    Config = SelfConsistencyConfig
    prefix = "agreed"
    version = 3
    cpus = 0.5

    def bind(self, schema: pa.Schema) -> None:
        check_candidates(self.config, schema)

    def reads(self) -> list[str]:
        return list(dict.fromkeys(self.config.names()))

    def may_lack(self) -> list[str]:
        return [] if isinstance(self.config.candidates, str) else self.reads()

    def writes(self) -> pa.Schema:
        name = self.column()
        mean = "its mean agreement with the other candidates; null where there is no other"
        every = "mean agreement of each candidate with the others"
        return pa.schema(
            [
                column(name, pa.string(), "the candidate with the most agreement", role="caption"),
                column(self.column("choice"), pa.int32(), "its place among the candidates", "", 0),
                column(self.column("score"), pa.float32(), mean, "", 0, 1, role="score", of=name),
                column(self.column("scores"), pa.list_(pa.float32()), every, of=name),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = [self.agreed(texts) for texts in candidates_of(rows, self.config)]
        columns = list(zip(*found, strict=True)) or [()] * 4
        schema = self.writes()
        return pa.table(
            [pa.array(v, f.type) for v, f in zip(columns, schema, strict=True)], schema=schema
        )

    def agreed(
        self, texts: list[str | None]
    ) -> tuple[str | None, int | None, float | None, list[float | None]]:
        """(text, place, agreement, agreement of each); candidates that are absent have none."""
        there = [i for i, text in enumerate(texts) if text is not None]
        scores: list[float | None] = [None] * len(texts)
        if not there:
            return None, None, None, scores
        shares = agreements([str(texts[i]) for i in there])
        for i, share in zip(there, shares, strict=True):
            scores[i] = share
        choice = there[max(range(len(there)), key=lambda k: (shares[k], -k))]
        return texts[choice], choice, scores[choice] if len(there) > 1 else None, scores
