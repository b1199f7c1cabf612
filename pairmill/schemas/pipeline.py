"""The pipeline file's top level."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, model_validator

from pairmill.schemas.config import PATH, StageConfig, Strict


class ReportConfig(Strict):
    """What the report shows."""

    samples: int = Field(400, ge=0, le=20_000)
    """Rows in the gallery: half by chance, half from tails, thresholds, duplicates and failures;
    about 8 KB each.
    """
    blur: str | None = None
    """SQL expression (docs/expressions.md); pictures of rows for which it is true are blurred until clicked, such
    as `nsfw_score > 0.5`.
    """
    groups: list[str] = []
    """Columns by whose values rows are grouped to show what each step did to the mix, besides
    language, source, domain, resolution, text length and format: a concept, a shop, a camera.
    """


class OutputConfig(Strict):
    """Keys of every output."""

    type: str
    """Format of the package."""
    path: Annotated[str, PATH]
    """Folder of the package, relative to the pipeline file, or a URL such as `s3://bucket/folder`.
    """
    samples_per_shard: int = Field(10_000, ge=1, le=10_000_000)
    """Samples in each output shard; only the last one has fewer."""
    shuffle: bool = True
    """Shuffle by the pipeline's seed; `false` keeps the source's order."""
    columns: list[str] | None = None
    """Columns that travel with the samples; if absent, all but embeddings and what differs from run
    to run (a table leaves columns with bytes aside, too).
    """
    overwrite: bool = False
    """Allow to replace what another pipeline wrote to `path`."""


class SourceConfig(Strict):
    """Keys of every source."""

    type: str
    """Format of the input."""
    rows_per_shard: int = Field(1024, ge=1, le=65_536)
    """Rows in a pool shard, the unit of work and of resume."""


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
    """Where the rows come from."""
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

    @model_validator(mode="before")
    @classmethod
    def _absolute_workspace(cls, data: Any) -> Any:
        if isinstance(data, dict):
            workspace = data.get("workspace", "workspace")
            if isinstance(workspace, str) and "://" not in workspace:
                data = {**data, "workspace": str(Path(workspace).expanduser().absolute())}
        return data
