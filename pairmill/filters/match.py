"""Image–text matching: the probability that a text belongs to a picture."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.models.feed import Feed, Ready
from pairmill.models.load import Spec
from pairmill.models.matching import Matcher
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.torch_device import Device, Precision, Room, in_halves


class MatchConfig(StageConfig):
    """Probability that a text belongs to a picture, by an image–text matching head: BLIP's or
    BLIP-2's.

    Such a head looks at both at once. It tells pairs apart that a cosine does not, and costs as
    much as a new look at the picture for each text: let `clip` gate what comes to it.
    """

    stage: Annotated[Literal["match"], SPEED] = "match"
    model: Annotated[str, MODEL] = "Salesforce/blip-itm-base-coco"
    """Hub id or folder of a matching head of BLIP or BLIP-2 (`Salesforce/blip2-itm-vit-g`)."""
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    image: str = "image"
    """Column with encoded images."""
    text: str = "text"
    """Column with texts; cut at the length that the model takes."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "auto"
    """Precision of the forward pass.  `auto`: the checkpoint's on a GPU; on a CPU what a
    measurement at load finds faster.  In bfloat16 a score changes in its third digit.
    """
    batch_size: Annotated[int, SPEED] = Field(32, ge=1, le=65_536)
    """Rows given to the model at once; halved where they do not fit its memory."""

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        return Spec(
            model=self.model,
            revision=self.revision,
            device=self.device,
            dtype=self.dtype,
            cpus=self.resources.cpus or cpus,
        )


class MatchStage(Stage):
    """`match_score` = softmax of the head's two logits, its second value, in [0, 1]."""

    Config: ClassVar[type[StageConfig]] = MatchConfig
    prefix = "match"
    decodes = True
    actor = True
    matcher: Matcher
    feed: "Feed[Any] | None" = None

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

    def setup(self) -> None:
        self.room = Room()
        self.matcher = Matcher(self.name, self.config.spec(self.cpus))
        self.note = self.matcher.note
        c, cores = self.config, max(1, int(self.config.resources.cpus or self.cpus))
        self.feed = Feed(self.matcher, c.image, cores, c.batch_size, self.computed, self.words)

    def close(self) -> None:
        if self.feed is not None:
            self.feed.close()

    def prepare(self, rows: pa.Table) -> None:
        """Begins with rows that will come next, while those before them are computed."""
        if self.feed is not None:
            self.feed.prepare(rows)

    def words(self, rows: pa.Table, sound: list[int]) -> dict[str, Any]:
        """The texts' inputs of some rows."""
        texts = rows.column(self.config.text).take(pa.array(sound, pa.int64()))
        return self.matcher.words(texts.to_pylist())

    def computed(self, ready: Ready) -> tuple[Ready, list[float]]:
        """Probabilities of the sound rows."""

        def work(rows: list[int]) -> list[float]:
            at = slice(rows[0], rows[-1] + 1)
            sides = (ready.images, ready.words)
            parts = ({name: v[at] for name, v in side.items()} for side in sides)
            return self.matcher.match(*parts).tolist()

        if not ready.sound:
            return ready, []
        found = in_halves(work, list(range(len(ready.sound))), self.room)
        self.note = self.room.told(self.matcher.note)
        return ready, found

    def __call__(self, rows: pa.Table) -> pa.Table:
        assert self.feed is not None
        ready, found = self.feed(rows)
        scores = np.full(rows.num_rows, np.nan, np.float32)
        scores[ready.sound] = found
        table = pa.table([pa.array(scores)], schema=self.writes())
        return table.append_column("error", error_array(ready.errors))
