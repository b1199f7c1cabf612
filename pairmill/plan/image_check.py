"""Whether a source decodes its images: yes, unless a stage does so for every row later."""

from collections.abc import Sequence

from pairmill.schemas.config import StageConfig
from pairmill.sources.base import Source
from pairmill.sources.image_bytes import ImageBytesConfig
from pairmill.stages.catalogue import UnknownStage, stage_class


def settle_image_check(source: Source, stages: Sequence[StageConfig]) -> None:
    """Fills in the `check` of a source of image bytes where it was left to the planner.

    It depends on the stages of the pipeline file alone, so it is the same in every run of it.
    """
    config = source.config
    if isinstance(config, ImageBytesConfig) and config.check is None:
        check = "header" if any(decodes(stage) for stage in stages) else "pixels"
        source.take_config(config.model_copy(update={"check": check}))


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
