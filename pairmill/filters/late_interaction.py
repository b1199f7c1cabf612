"""Likeness of a picture and a text by their parts: each patch looks for its word, and each word for
its patch.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa

from pairmill.filters.seeing import ComparingConfig, SeeingStage
from pairmill.models.feed import Ready
from pairmill.models.token_towers import TokenTowers
from pairmill.schemas.arrow import column
from pairmill.schemas.config import MODEL, SPEED, StageConfig


class LateInteractionConfig(ComparingConfig):
    """Token-wise likeness as FILIP has it, by a model built like CLIP.

    A global cosine says little of one wrong attribute; the best patch of each word may. How much it
    helps depends on the training: FILIP's models learn it, CLIP's own do not.
    """

    stage: Annotated[Literal["late_interaction"], SPEED] = "late_interaction"
    model: Annotated[str, MODEL]
    """Hub id or folder of a model built like CLIP."""
    text: str = "text"
    """Column with texts; cut at the text tower's length."""


class LateInteractionStage(SeeingStage):
    """`late_interaction_image`: mean over patches of the cosine of the best token;
    `late_interaction_text`: mean over tokens of the cosine of the best patch;
    `late_interaction_score`: the mean of both.
    """

    Config: ClassVar[type[StageConfig]] = LateInteractionConfig
    prefix = "late_interaction"
    model: TokenTowers

    def reads(self) -> list[str]:
        return [self.config.image, self.config.text]

    def writes(self) -> pa.Schema:
        c, real = self.column, pa.float32()
        return pa.schema(
            [
                column(c("score"), real, "mean of the two", "", -1, 1, role="score"),
                column(c("image"), real, "mean cosine of patches and their best token", "", -1, 1),
                column(c("text"), real, "mean cosine of tokens and their best patch", "", -1, 1),
            ]
        )

    def examine(self) -> list[str]:
        from pairmill.models.check import check_clip

        return check_clip(self.name, self.config.spec(self.cpus))

    def opened(self) -> TokenTowers:
        return TokenTowers(self.name, self.config.spec(self.cpus))

    def computed(self, ready: Ready) -> tuple[Ready, np.ndarray]:
        """Both scores of the sound rows, float32 (n, 2)."""
        if not ready.sound:
            return ready, np.zeros((0, 2), np.float32)
        found = np.stack(self.by_rows(self.model.finest, ready.images, ready.words))
        return ready, self.numbers(ready, found)[0]

    def __call__(self, rows: pa.Table) -> pa.Table:
        assert self.feed is not None
        ready, found = self.feed(rows)
        scores = [self.scored(rows, ready, part) for part in (found.mean(1), *found.T)]
        table = pa.table([values for values, _ in scores], schema=self.writes())
        return table.append_column("error", scores[0][1])
