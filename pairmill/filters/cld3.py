"""Language of a text by CLD3, as LAION-2B was made."""

from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.errors import MissingPackage
from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage


class Cld3Config(StageConfig):
    """Top-1 language of a text column by CLD3; DataComp's LAION-2B filter asks for `cld3 = 'en'`.

    Needs the extra `cld3`; `language` is the faster one.
    """

    stage: Annotated[Literal["cld3"], SPEED] = "cld3"
    text: str = "text"
    """Column to look at."""
    min_bytes: int = Field(0, ge=0, le=10_000)
    """Shorter texts have no language; 0 in DataComp."""
    max_bytes: int = Field(1000, ge=1, le=100_000)
    """What is looked at of longer ones; 1,000 in DataComp."""


class Cld3Stage(Stage):
    """`cld3` (BCP-47 code; `und` where CLD3 has none) and its probability."""

    Config = Cld3Config
    prefix = "cld3"
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        doc = "most likely language, BCP-47 code as CLD3 names it"
        score = "CLD3's probability of that language"
        return pa.schema(
            [
                column(self.column(), pa.string(), doc, role="language"),
                column(self.column("score"), pa.float32(), score, "", 0, 1),
            ]
        )

    def setup(self) -> None:
        try:
            import gcld3
        except ModuleNotFoundError:
            raise MissingPackage("cld3-py", f"stage {self.name!r}", "cld3") from None
        config = self.config
        self.model = gcld3.NNetLanguageIdentifier(
            min_num_bytes=config.min_bytes, max_num_bytes=config.max_bytes
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        texts = (text.replace("\n", " ") for text in rows.column(self.config.text).to_pylist())
        found = [self.model.FindLanguage(text=text) for text in texts]
        columns = [
            pa.array([answer.language for answer in found], pa.string()),
            pa.array([answer.probability for answer in found], pa.float32()),
        ]
        return pa.table(columns, schema=self.writes())
