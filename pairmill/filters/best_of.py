"""One text chosen among several, by a score; all of them stay."""

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.filters.seeing import ComparingConfig
from pairmill.filters.text_candidates import CandidatesConfig, candidates_of, check_candidates
from pairmill.filters.text_scores import Error, TextScorer
from pairmill.schemas.arrow import column, error_array, is_list
from pairmill.schemas.config import MODEL, SPEED
from pairmill.stages.base import Stage
from pairmill.texts.words import sentences


class BestOfConfig(ComparingConfig, CandidatesConfig):
    """Chooses a text among candidates: the one with the highest score, by a column of scores or a
    two-tower model; without either, the first that is there.

    `candidates: [teacher, student]` alone gives the teacher's caption where there is one, and tells
    in `best_from` whose it is.
    """

    stage: Annotated[Literal["best_of"], SPEED] = "best_of"
    scores: str | list[str] | None = None
    """Column with lists of scores, or one numeric column for each candidate, in their order."""
    model: Annotated[str | None, MODEL] = None
    """Hub id or folder of a two-tower model (see `clip`): the score is the mean cosine of the
    image and the candidate's sentences.
    """
    image: str = "image"
    """Column with encoded images, read where there is a model."""
    batch_size: Annotated[int, SPEED] = Field(64, ge=1, le=65_536)
    """Rows given to the stage at once."""

    @model_validator(mode="after")
    def _one_way(self) -> "BestOfConfig":
        if self.scores is not None and self.model is not None:
            raise ValueError("`scores` and `model` are two ways to choose; name one")
        lists = isinstance(self.scores, list) or self.scores is None
        if self.scores is not None and lists != isinstance(self.candidates, list):
            raise ValueError("`scores` has the form of `candidates`: one column, or one for each")
        if isinstance(self.scores, list) and len(self.scores) != len(self.candidates):
            raise ValueError(f"{len(self.candidates)} candidates, {len(self.scores)} scores")
        return self

    def score_names(self) -> list[str]:
        """Columns with scores."""
        if self.scores is None:
            return []
        return [self.scores] if isinstance(self.scores, str) else list(self.scores)


class BestOfStage(Stage):
    """Among equal scores the first counts; a blank candidate, and one without score, is not
    chosen, and a row without any has no text.
    """

    Config = BestOfConfig
    prefix = "best"
    scorer: TextScorer | None = None

    def __init__(self, config: BestOfConfig) -> None:
        super().__init__(config)
        if config.model is None:  # a blank text never had a score by a model
            self.version = 2

    def bind(self, schema: pa.Schema) -> None:
        check_candidates(self.config, schema)
        for name in self.config.score_names():
            if name in schema.names and is_list(schema.field(name).type) != isinstance(
                self.config.scores, str
            ):
                raise ValueError(f"scores: {name!r} is {schema.field(name).type}")

    def reads(self) -> list[str]:
        c = self.config
        picture = [c.image] if c.model else []
        return list(dict.fromkeys([*picture, *c.names(), *c.score_names()]))

    def may_lack(self) -> list[str]:
        single = isinstance(self.config.candidates, str)
        needed = [self.config.image, *(self.config.names() if single else [])]
        return [name for name in self.reads() if name not in needed]

    def writes(self) -> pa.Schema:
        c, name = self.config, self.column()
        fields = [
            column(name, pa.string(), "the text that was chosen", role="caption"),
            column(self.column("choice"), pa.int32(), "its place among the candidates", "", 0),
        ]
        if isinstance(c.candidates, list):
            whose = "column that it comes from"
            fields.append(column(self.column("from"), pa.string(), whose, of=name))
        if c.model or c.scores:
            scores = "scores of the candidates, in order"
            fields.append(column(self.column("scores"), pa.list_(pa.float32()), scores, of=name))
        return pa.schema(fields)

    def examine(self) -> list[str]:
        if self.config.model is None:
            return []
        from pairmill.models.check import check_clip

        return check_clip(self.name, self.config.spec(self.cpus))

    def setup(self) -> None:
        if self.config.model:
            self.scorer = TextScorer(self.name, self.config.spec(self.cpus))
            self.note = self.scorer.note

    def close(self) -> None:
        if self.scorer is not None:
            self.scorer.close()

    def __call__(self, rows: pa.Table) -> pa.Table:
        c = self.config
        texts = candidates_of(rows, c)
        scores, errors = self.scored(rows, texts)
        chosen = [
            best(own, score) if error is None else None
            for own, score, error in zip(texts, scores, errors, strict=True)
        ]
        columns: dict[str, list[Any]] = {
            self.column(): [
                None if i is None else t[i] for i, t in zip(chosen, texts, strict=True)
            ],
            self.column("choice"): chosen,
            self.column("scores"): [None if e else s for s, e in zip(scores, errors, strict=True)],
        }
        if isinstance(c.candidates, list):
            columns[self.column("from")] = [None if i is None else c.candidates[i] for i in chosen]
        schema = self.writes()
        arrays = [pa.array(columns[f.name], f.type) for f in schema]
        return pa.table(arrays, schema=schema).append_column("error", error_array(errors))

    def scored(
        self, rows: pa.Table, texts: list[list[str | None]]
    ) -> tuple[list[list[float | None]], list[Error]]:
        """The score of each candidate, and why a row has none."""
        c, fine = self.config, [None] * rows.num_rows
        if self.scorer is not None:
            return self.by_model(rows.column(c.image), texts)
        if isinstance(c.scores, str):
            given = [values or [] for values in rows.column(c.scores).to_pylist()]
            errors: list[Error] = [
                None
                if len(own) == len(scores)
                else ("scores", f"{len(own)} candidates and {len(scores)} scores")
                for own, scores in zip(texts, given, strict=True)
            ]
            return given, errors
        if c.scores:
            columns = [rows.column(n).to_pylist() for n in c.scores]
            return [list(values) for values in zip(*columns, strict=True)], list(fine)
        return [[0.0] * len(own) for own in texts], list(fine)

    def by_model(
        self, images: pa.ChunkedArray, texts: list[list[str | None]]
    ) -> tuple[list[list[float | None]], list[Error]]:
        """Mean cosine of each candidate's sentences."""
        assert self.scorer is not None, "asked for only where a model is named"
        cut = [[sentences(t) if t else [] for t in own] for own in texts]
        flat = [[s for one in own for s in one] for own in cut]
        cosines, errors = self.scorer.scores(images, flat)
        found: list[list[float | None]] = []
        for own, scores in zip(cut, cosines, strict=True):
            ends = np.cumsum([len(one) for one in own])
            found.append(
                [
                    float(scores[end - len(one) : end].mean())
                    if one and scores is not None
                    else None
                    for one, end in zip(own, ends, strict=True)
                ]
            )
        return found, errors


def best(texts: list[str | None], scores: list[float | None]) -> int | None:
    """The place of the text with the highest score; None where there is none with a score."""
    found = [
        (-score, i)
        for i, (text, score) in enumerate(zip(texts, scores, strict=True))
        if text is not None and score is not None and score == score
    ]
    return min(found)[1] if found else None
