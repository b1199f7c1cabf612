"""Image–text matching: the probability that a text belongs to a picture."""

from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.filters.seeing import SeeingConfig, SeeingStage
from pairmill.models.feed import Ready
from pairmill.models.matching import Matcher
from pairmill.schemas.arrow import column
from pairmill.schemas.config import MODEL, SPEED, StageConfig


class MatchConfig(SeeingConfig):
    """Probability that a text belongs to a picture, by an image–text matching head: BLIP's,
    BLIP-2's or BridgeTower's.

    Such a head looks at both at once. It tells pairs apart that a cosine does not, and costs as
    much as a new look at the picture for each text: let `clip` gate what comes to it.
    """

    stage: Annotated[Literal["match"], SPEED] = "match"
    model: Annotated[str, MODEL] = "Salesforce/blip-itm-base-coco"
    """Hub id or folder of a matching head of BLIP, BLIP-2 (`Salesforce/blip2-itm-vit-g`) or
    BridgeTower (`BridgeTower/bridgetower-base-itm-mlm`), whose processor takes no picture that is
    about fifteen times as long as wide: such a row fails."""
    text: str = "text"
    """Column with texts; cut at the length that the model takes."""
    batch_size: Annotated[int, SPEED] = Field(32, ge=1, le=65_536)
    """Rows given to the model at once; halved where they do not fit its memory."""


class MatchStage(SeeingStage):
    """`match_score` = softmax of the head's two logits, its second value, in [0, 1]."""

    Config: ClassVar[type[StageConfig]] = MatchConfig
    prefix = "match"
    model: Matcher

    def reads(self) -> list[str]:
        return [self.config.image, self.config.text]

    def writes(self) -> pa.Schema:
        meaning = "probability that the text belongs to the picture"
        return pa.schema(
            [column(self.column("score"), pa.float32(), meaning, "", 0, 1, role="score")]
        )

    def examine(self) -> list[str]:
        from pairmill.models.check import check_match

        return check_match(self.name, self.config.spec(self.cpus))

    def opened(self) -> Matcher:
        return Matcher(self.name, self.config.spec(self.cpus))

    def computed(self, ready: Ready) -> tuple[Ready, np.ndarray]:
        """Probabilities of the sound rows, float32 (n,)."""
        if not ready.sound:
            return ready, np.zeros(0, np.float32)
        found = self.by_rows(self.model.match, ready.images, ready.words)
        return ready, self.numbers(ready, np.array(found, np.float32))[0]

    def __call__(self, rows: pa.Table) -> pa.Table:
        assert self.feed is not None
        scores, errors = self.scored(rows, *self.feed(rows))
        return pa.table([scores], schema=self.writes()).append_column("error", errors)
