"""Whether a source decodes its images: yes, unless a stage does so for every row later."""

from collections.abc import Sequence

from pairmill.schemas.config import StageConfig
from pairmill.schemas.pipeline import SourceConfig, SourcesConfig
from pairmill.sources.base import Source
from pairmill.sources.image_bytes import ImageBytesConfig
from pairmill.stages.catalogue import UnknownStage, stage_class


def settle_image_check(source: Source, stages: Sequence[StageConfig]) -> None:
    """Fills in the `check` of a source of image bytes where it was left to the planner.

    It depends on the stages of the pipeline file alone, so it is the same in every run of it.
    """
    check = "header" if any(decodes(stage) for stage in stages) else "pixels"
    source.take_config(settled(source.config, check))


def settled(config: SourceConfig, check: str) -> SourceConfig:
    """A source's config with `check` filled in where it was left open; of several, in each."""
    if isinstance(config, SourcesConfig):
        parts = {name: settled(one, check) for name, one in config.sources.items()}
        return config.model_copy(update={"sources": parts})
    if isinstance(config, ImageBytesConfig) and config.check is None:
        return config.model_copy(update={"check": check})
    return config


def decodes(stage: StageConfig) -> bool:
    """Whether a stage decodes the source's image of every row that comes to it."""
    try:
        kind = stage_class(stage.stage)
    except UnknownStage:
        return False
    return (
        kind.decodes
        and getattr(stage, "image", None) in ("image", ["image"])
        and stage.when is None
        and stage.on_missing != "keep"
        and "image" in kind(stage).reads()  # and not its stored embedding instead
    )
