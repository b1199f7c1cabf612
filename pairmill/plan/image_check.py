"""Whether a source decodes its images: yes, unless a stage does so for every row later."""

from pairmill.schemas.config import StageConfig
from pairmill.schemas.pipeline import PipelineConfig
from pairmill.sources.image_bytes import ImageBytesConfig
from pairmill.stages.catalogue import UnknownStage, stage_class


def with_image_check(config: PipelineConfig) -> PipelineConfig:
    """The pipeline with the source's `check` filled in where it was left to the planner.

    It depends on the stages of the pipeline file alone, so it is the same in every run of it.
    """
    source = config.source
    if not isinstance(source, ImageBytesConfig) or source.check is not None:
        return config
    check = "header" if any(decodes(stage) for stage in config.stages) else "pixels"
    return config.model_copy(update={"source": source.model_copy(update={"check": check})})


def decodes(stage: StageConfig) -> bool:
    """Whether a stage decodes the source's image of every row that comes to it."""
    try:
        kind = stage_class(stage.stage)
    except UnknownStage:
        return False
    return (
        kind.decodes
        and getattr(stage, "image", None) == "image"
        and stage.when is None
        and stage.on_missing != "keep"
    )
