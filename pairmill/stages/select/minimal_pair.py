"""Pairs of rows whose texts differ in one word alone."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.models.vectors import check_embeddings, shared_length, units_of, unlike
from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.schemas.hash_columns import row_chances
from pairmill.stages.base import GlobalStage
from pairmill.texts.words import plain_words

REACH = 32
"""Rows that each row is looked at beside, among those whose texts are equal but for one place."""


class MinimalPairConfig(StageConfig):
    """Mines pairs of rows whose texts are equal but for one word, each row in one pair at most:
    two pictures that one question tells apart (NaturalBench), or a reference, the condition that
    changes it, and the target (GeneCIS).  `related` brings the other row's columns.

    With `embedded`, pairs that the model takes for one another come first, and
    `minimal_pair_confusion > 0` is the gate for those that it mistakes.
    """

    stage: Annotated[Literal["minimal_pair"], SPEED] = "minimal_pair"
    text: Annotated[str, COLUMN] = "text"
    """Column whose texts are compared, word by word, without case and punctuation."""
    embedded: Annotated[list[str] | None, COLUMN] = Field(None, min_length=2, max_length=2)
    """Columns with the picture's and the text's embedding, as `embed` writes them."""
    least_words: int = Field(4, ge=2)
    """Shorter texts are in no pair."""


class MinimalPairStage(GlobalStage):
    """`minimal_pair_of`: uid of the other row; `minimal_pair_word` and `minimal_pair_other`: the
    word in which they differ, of this row and of the other.  With `embedded`,
    `minimal_pair_confusion`: mean cosine of each picture with the other's text, less that with its
    own; rows whose pictures have one embedding are no pair.

    Pairs are formed greedily, the most confused first, without `embedded` by a chance of the uids.
    """

    Config = MinimalPairConfig
    prefix = "minimal_pair"
    version = 2

    def __init__(self, config: MinimalPairConfig) -> None:
        super().__init__(config)
        self.version = 2 if config.embedded else 1

    def bind(self, schema: pa.Schema) -> None:
        """Checks that embeddings can be compared."""
        check_embeddings(schema, *(self.config.embedded or []))

    def reads(self) -> list[str]:
        return list(dict.fromkeys([self.config.text, *(self.config.embedded or [])]))

    def writes(self) -> pa.Schema:
        c, text = self.column, self.config.text
        fields = [
            column(c("of"), pa.string(), f"uid of the row whose `{text}` differs in one word"),
            column(c("word"), pa.string(), "this row's word"),
            column(c("other"), pa.string(), "the other row's word"),
        ]
        if self.config.embedded:
            doc = "mean cosine of each picture with the other's text, less that with its own"
            fields.append(column(c("confusion"), pa.float32(), doc, "", -2, 2, role="score"))
        return pa.schema(fields)

    def __call__(self, rows: pa.Table) -> pa.Table:
        texts = rows.column(self.config.text).to_pylist()
        words = [plain_words(text or "") for text in texts]
        uids = rows.column("uid").to_pylist()
        chance = row_chances(rows.column("uid"), 0, "minimal pair")
        sides, fit = self.sides(rows)
        order = sorted(np.flatnonzero(fit).tolist(), key=lambda i: (chance[i], uids[i]))
        edges = list(dict.fromkeys(self.edges(words, order)))
        scores = scored(sides, edges)
        ranks = {row: place for place, row in enumerate(order)}
        taken: dict[int, tuple[int, int, float]] = {}
        for (one, two, place), score in sorted(
            (edge for edge in zip(edges, scores, strict=True) if not np.isnan(edge[1])),
            key=lambda e: (-e[1], ranks[e[0][0]], ranks[e[0][1]], e[0][2]),
        ):
            if one not in taken and two not in taken:
                taken[one], taken[two] = (two, place, score), (one, place, score)
        pairs = [taken.get(i) for i in range(len(uids))]
        columns = [
            pa.array([p and uids[p[0]] for p in pairs], pa.string()),
            pa.array([p and words[i][p[1]] for i, p in enumerate(pairs)], pa.string()),
            pa.array([p and words[p[0]][p[1]] for p in pairs], pa.string()),
        ]
        if self.config.embedded:
            columns.append(pa.array([p and float(p[2]) for p in pairs], pa.float32()))
        table = pa.table(columns, schema=self.writes())
        if not self.config.embedded:
            return table
        return table.append_column("error", unlike(fit, *self.config.embedded))

    def edges(self, words: list[list[str]], order: list[int]) -> Iterator[tuple[int, int, int]]:
        """(row, row, place of the word) of rows that are equal but there: of each row with the
        next ones in `order`.
        """
        alike: dict[tuple[int, bytes], list[int]] = {}
        for row in order:
            if len(words[row]) >= self.config.least_words:
                for key in enumerate(masked(words[row])):
                    alike.setdefault(key, []).append(row)
        for (place, _), rows in alike.items():
            for at, one in enumerate(rows):
                for two in rows[at + 1 : at + 1 + REACH]:
                    if words[one][place] != words[two][place]:
                        yield one, two, place

    def sides(self, rows: pa.Table) -> tuple[list[np.ndarray], np.ndarray]:
        """(unit vectors of pictures and of texts, float32 (n, d), none without a model; rows that
        may be in a pair, bool (n,)).
        """
        names = self.config.embedded or []
        if not names:
            return [], np.ones(rows.num_rows, bool)
        length = shared_length(self.name, names, rows)
        (image, one), (text, other) = (units_of(rows.column(n), length) for n in names)
        return [image, text], one & other


def scored(sides: list[np.ndarray], edges: list[tuple[int, int, int]]) -> np.ndarray:
    """How much the model confuses the two of each pair, NaN for what is no pair; zeros without a
    model.
    """
    if not sides or not edges:
        return np.zeros(len(edges))
    image, text = sides
    one, two, _ = np.array(edges).T
    own = (image * text).sum(1)
    crossed = (image[one] * text[two]).sum(1) + (image[two] * text[one]).sum(1)
    found = (crossed - own[one] - own[two]) / 2
    return np.where((image[one] == image[two]).all(1), np.nan, found)


def masked(words: list[str]) -> Iterator[bytes]:
    """Stands for a text without one of its words, for each of them: hashes of the words before it
    and of those behind it, each made of the one of a word less.
    """
    behind = [b""]
    for word in reversed(words[1:]):
        behind.append(blake2b(behind[-1] + word.encode(), digest_size=16).digest())
    before = b""
    for word in words:
        yield before + b" " + behind.pop()
        before = blake2b(before + word.encode(), digest_size=16).digest()
