"""Keys of sources that read tables."""

import codecs
import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pairmill.schemas.config import PATH, SPEED
from pairmill.sources.embeddings import EmbeddingsConfig
from pairmill.sources.image_bytes import ImageBytesConfig
from pairmill.sources.names import INTERNAL, Columns

Preset = Literal["cc3m", "cc12m", "sbu", "redcaps", "coco", "llava", "sharegpt4v"]
PRESETS: dict[str, dict[str, Any]] = {
    "cc3m": {"format": "tsv", "names": ["text", "url"]},
    "cc12m": {"format": "tsv", "names": ["url", "text"]},
    "redcaps": {"format": "json", "json_path": "$.annotations"},
    **{name: {"format": "json"} for name in ("sbu", "coco", "llava", "sharegpt4v")},
}
"""Keys that a preset stands for; those that the pipeline file has come before them."""
Captions = Literal["first", "join", "rows"]
TypeName = Literal["text", "int64", "uint64", "float64", "bool"]


class TableConfig(EmbeddingsConfig, ImageBytesConfig):
    """Keys of every source that reads tables."""

    path: Annotated[str | list[str], PATH]
    """File, folder, glob or fsspec URL, or a list of them; a `.txt` or `.list` names input files,
    one a line.
    """
    columns: Columns = {}
    """Our column → the input's, where names are not recognised, such as `{url: picture}`.  A dotted
    path leads into nested values (`{url: item.url}`); of several columns all are kept and the first
    value counts (`{text: [alt, title]}`).
    """
    captions: Captions | None = None
    """What becomes of a column of several captions: the `first` one, all of them as lines of one
    text (`join`), or one row for each (`rows`).
    """
    image: str | None = Field(None, min_length=1)
    """The input's column that holds the images: their bytes, Hugging Face's struct of `bytes` and
    `path`, base64 (of data URLs, too), or names of image files.
    """
    images: Annotated[str | None, PATH] = None
    """Folder of the image files that the column names; the folder of the table if absent.  Names
    that lead out of it are refused.
    """
    types: dict[str, TypeName] = {}
    """Types of our columns where the files do not agree, or where looking at a text file's values
    would find another, such as `{photo_id: text}`.
    """

    @field_validator("columns")
    @classmethod
    def _plain(cls, columns: Columns) -> Columns:
        for ours in columns:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", ours) or ours in INTERNAL:
                raise ValueError(
                    f"{ours!r} cannot be the name of a column of ours: small letters, digits and "
                    f"underscores, and none of {', '.join(sorted(INTERNAL))}"
                )
        return columns


class PairsConfig(TableConfig):
    """Tables of image URLs and texts: Parquet, CSV, TSV, JSON lines (the last three also as .gz,
    .zst, .bz2, .xz); the column names of LAION, DataComp, COYO and cc2dataset are known.
    """

    type: Annotated[Literal["pairs"], SPEED] = "pairs"
    preset: Preset | None = None
    """The shape of a published set: `cc3m` and `cc12m`, whose files do not name their columns; the
    others are recognised without it.
    """
    format: Literal["parquet", "csv", "tsv", "jsonl", "json", "arrow"] | None = None
    """Format of all files, where their names do not tell it; `jsonl` are lines of JSON, `json` one
    document: an array, COCO, LLaVA, RedCaps, SBU, or an object with a list of rows.
    """
    json_path: str | None = Field(None, pattern=r"^\$")
    """Where in a JSON document the list of rows stands, such as `$.annotations`."""
    header: bool | None = None
    """Whether the first line of CSV and TSV names the columns; by default it does unless `names`
    are given.
    """
    names: list[str] = []
    """Names of the columns of CSV and TSV, in order, for files without a header line (or instead of
    it: `header: true`).
    """
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """What separates values; by default a comma in .csv and a tab in .tsv."""
    quoting: bool | None = None
    """Whether values may stand in double quotes, as RFC 4180 has it; by default so in .csv, and not
    in .tsv, where a quote is a letter like any other.
    """
    encoding: str = "utf-8"
    """Encoding of CSV, TSV and JSON lines: `utf-8`, `cp1252` (Latin-1 as Windows writes it),
    `utf-16`, or another that Python knows.
    """
    null_values: list[str] = [""]
    """Values of CSV and TSV that mean that there is none, unless they stand in quotes; such as
    `["", "NA"]`.
    """

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, data: Any) -> Any:
        preset = data.get("preset") if isinstance(data, dict) else None
        return {**PRESETS[preset], **data} if preset in PRESETS else data

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("no encoding that Python knows; try utf-8, cp1252, utf-16") from None


class ParquetConfig(TableConfig):
    """Parquet with image bytes: a binary column, or Hugging Face's struct of `bytes` and `path`."""

    type: Annotated[Literal["parquet"], SPEED] = "parquet"


class ArrowConfig(TableConfig):
    """Arrow files, and folders that Hugging Face's `save_to_disk` wrote."""

    type: Annotated[Literal["arrow"], SPEED] = "arrow"
