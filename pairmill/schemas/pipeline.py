"""The pipeline file's top level."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from pairmill.schemas.config import PATH, StageConfig, Strict


class ReportConfig(Strict):
    """What the report shows."""

    samples: int = Field(400, ge=0, le=20_000)
    """Rows in the gallery: half by chance, half from tails, thresholds, duplicates and failures;
    about 8 KB each.
    """
    blur: str | None = None
    """SQL expression (docs/expressions.md); pictures of rows for which it is true are blurred until
    clicked, such
    as `nsfw_score > 0.5`.
    """
    groups: list[str] = []
    """Columns by whose values rows are grouped to show what each step did to the mix, besides
    language, source, domain, resolution, text length and format: a concept, a shop, a camera.
    """
    write: bool = True
    """Whether a run writes a report; `report: none` stands for `{write: false}`."""

    @model_validator(mode="before")
    @classmethod
    def _none(cls, data: Any) -> Any:
        return {"write": False} if data == "none" else data


DIRECTION = re.compile(r"(.*\S)\s+(asc|desc)", re.IGNORECASE | re.DOTALL)


class OrderKey(Strict):
    """One key of an order: a value of each sample, smallest first, null last."""

    by: str
    """SQL expression (docs/expressions.md); of a sample of several rows its first row's."""
    descending: bool = False
    """Largest first; null stays last."""
    groups: list[str | int | bool] | None = Field(None, min_length=1)
    """The values in the order in which their samples come, such as `[easy, hard]`; samples of any
    other value come behind them.
    """


class OutputConfig(Strict):
    """Keys of every output."""

    type: str
    """Format of the package."""
    path: Annotated[str, PATH]
    """Folder of the package, relative to the pipeline file, or a URL such as `s3://bucket/folder`.
    """
    rows: str | None = None
    """Name of an `each` block: the samples are the elements that it keeps, not rows of the source.
    """
    samples_per_shard: int = Field(10_000, ge=1, le=10_000_000)
    """Samples in each output shard; only the last one has fewer."""
    shuffle: bool = True
    """Shuffle by the pipeline's seed; `false` keeps the source's order."""
    after: str | None = None
    """Name of the stage up to which gates count, the last one if absent; `source` for every row
    that was read.  The package is the one of a pipeline that ends with this stage: it has no
    columns of later ones.
    """
    where: str | None = None
    """SQL expression (docs/expressions.md); rows for which it is not true stay out of this package
    alone, and the manifest counts them.
    """
    order: list[OrderKey] = []
    """Keys by which samples are sorted instead of shuffled, such as `clip_score desc`, or
    `[{by: level, groups: [easy, hard]}, noise]`; ties by uid.
    """
    repeats: str | None = None
    """Integer column that says how often a sample is written, as `mix` makes it: 0 and null for not
    at all.  A sample of several rows goes by its first.
    """
    columns: list[str] | None = None
    """Columns that travel with the samples; if absent, all but embeddings and what differs from run
    to run (a table leaves columns with bytes aside, too).
    """
    overwrite: bool = False
    """Allow to replace what another pipeline wrote to `path`."""

    @field_validator("order", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        """A key alone for a list of one, `EXPRESSION desc` for its two parts."""
        keys = value if isinstance(value, list) else [] if value is None else [value]
        return [order_key(key) for key in keys]

    @model_validator(mode="after")
    def _one_order(self) -> "OutputConfig":
        if self.order and self.shuffle and "shuffle" in self.model_fields_set:
            raise ValueError("`order:` sorts the samples and `shuffle: true` mixes them; keep one")
        return self


def order_key(key: Any) -> Any:
    """`EXPRESSION desc` or `EXPRESSION asc` as the two keys of an order, another text as its
    expression; what is no text stays as it is.
    """
    if not isinstance(key, str):
        return key
    parts = DIRECTION.fullmatch(key.strip())
    if parts is None:
        return {"by": key}
    return {"by": parts[1], "descending": parts[2].lower() == "desc"}


TAKEN = frozenset(
    {"uid", "doc_id", "position", "row", "error", "shard", "fate", "stage", "reason", "message"}
)
"""Names of columns that pairmill fills in itself."""
SOURCE_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,39}$")


class SourceConfig(Strict):
    """Keys of every source."""

    type: str
    """Format of the input."""
    rows_per_shard: int | None = Field(None, ge=1, le=65_536)
    """Rows in a pool shard, the unit of work and of resume; of several sources the smallest counts.
    If absent 1,024, and 32,768 where no image is read or fetched and no stage is costly.
    """
    set: dict[str, str | int | float | bool] = {}
    """Columns that have one value in every row of this source, such as `{license: cc-by}`."""

    @field_validator("set")
    @classmethod
    def _columns(cls, constants: dict[str, Any]) -> dict[str, Any]:
        for name, value in constants.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or name in TAKEN:
                raise ValueError(
                    f"{name!r} cannot be the name of a column: small letters, digits and "
                    f"underscores, and none of {', '.join(sorted(TAKEN))}"
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: {value} is no number; leave it away for null")
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError(f"{name}: {value} has more than 64 bits; write it as text")
        return constants


class SourcesConfig(SourceConfig):
    """Several sources by name; the rows of one stand behind those of the other."""

    type: Literal["several"] = "several"
    sources: dict[str, SerializeAsAny[SourceConfig]]
    """The sources, in the order in which they are read."""

    @classmethod
    def of(cls, sources: Mapping[str, SourceConfig]) -> "SourcesConfig":
        """Of these sources; shards are as small as the one asks that wants the smallest."""
        asked = [one.rows_per_shard for one in sources.values() if one.rows_per_shard is not None]
        return cls(sources=dict(sources), rows_per_shard=min(asked, default=None))


class PipelineConfig(Strict):
    """One pipeline: a source, stages in order, outputs."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
    """Name of the pipeline; runs and packages carry it."""
    workspace: str = "workspace"
    """Folder or URL of the workspace, relative to the pipeline file."""
    secrets: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = []
    """Environment variables whose values are written nowhere, besides those that look like secrets
    by name or content.
    """
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of every choice by chance (sampling, shuffling)."""
    source: SerializeAsAny[SourceConfig]
    """Where the rows come from: one source, or several by name."""
    stages: list[SerializeAsAny[StageConfig]] = []
    """What is computed, and which rows go on."""
    outputs: list[SerializeAsAny[OutputConfig]] = []
    """The packages to write."""
    license: str | None = Field(None, min_length=1, max_length=200)
    """License of the packages, as an identifier such as `cc-by-4.0` or an address; for card and
    Croissant.
    """
    citation: str | None = Field(None, min_length=1, max_length=10_000)
    """How the packages should be cited, such as a BibTeX entry; for card and Croissant."""
    report: ReportConfig = ReportConfig()
    """What the report shows."""

    def every_stage(self) -> list[StageConfig]:
        """The stages, those of blocks with them."""
        return inside(self.stages)

    def block_names(self) -> list[str]:
        """The names of its `each` blocks."""
        names = (getattr(stage, "block_name", None) for stage in self.every_stage())
        return [name for name in names if name is not None]

    @model_validator(mode="before")
    @classmethod
    def _absolute_workspace(cls, data: Any) -> Any:
        if isinstance(data, dict):
            workspace = data.get("workspace", "workspace")
            if isinstance(workspace, str) and "://" not in workspace:
                data = {**data, "workspace": str(Path(workspace).expanduser().absolute())}
        return data


def inside(stages: Sequence[StageConfig]) -> list[StageConfig]:
    """Stages in order, each with those of its block."""
    found: list[StageConfig] = []
    for stage in stages:
        found += [stage, *inside(getattr(stage, "stages", ()))]
    return found
