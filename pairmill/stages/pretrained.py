"""Stages with a model of `transformers`: the keys they share, and loading it."""

from typing import Annotated, Any

from pydantic import Field

from pairmill.errors import StageBroken, first_line
from pairmill.models.library import transformers
from pairmill.schemas.config import MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.torch_device import Device, Precision, limit_threads, pick_device, pick_dtype


class ModelConfig(StageConfig):
    """The keys of a stage with one model."""

    model: Annotated[str, MODEL]
    """Hub id or folder of the model."""
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "float32"
    """Precision of the model."""
    batch_size: Annotated[int, SPEED] = Field(32, ge=1, le=65_536)
    """Rows given to the model at once."""


def pretrained(stage: Stage, model: str = "AutoModel", processor: str = "AutoProcessor") -> Any:
    """(model, processor) of the checkpoint that a stage's `model:` names, by the auto classes of
    `transformers` of these names; the model on its device, in its precision, ready to answer and
    not to learn.

    Torch computes with as many threads as the worker has cores.  Raises StageBroken.
    """
    config: Any = stage.config
    limit_threads(config.resources.cpus or stage.cpus)
    device = pick_device(config.device, stage.name)
    where: dict[str, Any] = {"revision": config.revision}
    try:
        network = getattr(transformers(), model).from_pretrained(
            config.model, dtype=pick_dtype(config.dtype), **where
        )
        reader = getattr(transformers(), processor).from_pretrained(config.model, **where)
    except (OSError, ValueError, KeyError) as error:
        raise StageBroken(
            f"stage {stage.name!r}: model {config.model!r} does not load: {first_line(error)}"
        ) from error
    return network.to(device).eval().requires_grad_(False), reader
