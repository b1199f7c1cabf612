"""Pairs of rows that one encoder finds alike and another does not."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.models.vectors import check_embeddings, shared_length, units_of, unlike
from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import GlobalStage

BLOCK = 1_024
"""Rows that are compared with all others at once."""


class SecondOpinionConfig(StageConfig):
    """Pairs of pictures that are alike for a first encoder and unlike for a second (*Eyes Wide
    Shut*, Tong et al. 2024: CLIP at .95 and more, DINOv2 below .6): what the first is blind to.

    Both are columns of embeddings, such as two `embed` stages write. Every row is compared with
    every other one.
    """

    stage: Annotated[Literal["second_opinion"], SPEED] = "second_opinion"
    first: str
    """Column with the embeddings of the encoder that is tested."""
    second: str
    """Column with the embeddings of the other one."""
    alike: float = Field(0.95, ge=-1, le=1)
    """Least cosine of a pair by the first encoder."""
    unlike: float = Field(0.6, ge=-1, le=1)
    """The pair's cosine by the second encoder is below this."""


class SecondOpinionStage(GlobalStage):
    """`second_opinion_of`: uid of the row that is most alike by the first encoder among those that
    are unlike by the second, null where none is alike enough; the two cosines, and
    `second_opinion`, the first less the second.
    """

    Config = SecondOpinionConfig
    prefix = "second_opinion"
    version = 2

    def bind(self, schema: pa.Schema) -> None:
        """Checks that both columns hold embeddings, of one length or of two."""
        for name in self.reads():
            check_embeddings(schema, name)

    def reads(self) -> list[str]:
        return [self.config.first, self.config.second]

    def writes(self) -> pa.Schema:
        c, real = self.column, pa.float32()
        return pa.schema(
            [
                column(c("of"), pa.string(), "uid of the row that only the first finds alike"),
                column(c(), real, "cosine by the first encoder less that by the second", "", -2, 2,
                       role="score"),
                column(c("first"), real, f"cosine of the two by `{self.config.first}`", "", -1, 1),
                column(c("second"), real, f"cosine by `{self.config.second}`", "", -1, 1),
            ]
        )  # fmt: skip

    def notes(self) -> list[str]:
        return [f"{self.name}: compares each row with each other: 100,000 take minutes"]

    def __call__(self, rows: pa.Table) -> pa.Table:
        if not rows.num_rows:
            return self.writes().empty_table()
        # by uid, so that the order of rows does not decide between equals
        order = np.argsort(np.array(rows.column("uid").to_pylist(), dtype=object), kind="stable")
        lengths = [shared_length(self.name, [name], rows) for name in self.reads()]
        every = [units_of(rows.column(n), k) for n, k in zip(self.reads(), lengths, strict=True)]
        first, second = (vectors[order] for vectors, _ in every)
        fit = every[0][1] & every[1][1]
        sound = fit[order]
        count = len(first)
        partner, cosine = np.full(count, -1), np.full((count, 2), np.nan, np.float32)
        for start in range(0, count, BLOCK):
            here = np.arange(start, min(start + BLOCK, count))
            alike, other = first[here] @ first.T, second[here] @ second.T
            barred = (other >= self.config.unlike) | ~sound[None, :] | ~sound[here, None]
            barred[here - start, here] = True
            alike[barred] = -np.inf
            best = alike.argmax(1)
            at = here - start
            found = alike[at, best] >= self.config.alike
            partner[here[found]] = best[found]
            cosine[here[found]] = np.stack([alike[at, best], other[at, best]], 1)[found]
        uids = rows.column("uid").take(pa.array(order)).to_pylist()
        back = np.argsort(order)
        names = [None if p < 0 else uids[p] for p in partner[back].tolist()]
        one, two = cosine[back].T
        numbers = [pa.array(v, from_pandas=True) for v in (one - two, one, two)]
        table = pa.table([pa.array(names, pa.string()), *numbers], schema=self.writes())
        return table.append_column("error", unlike(fit, *self.reads()))
