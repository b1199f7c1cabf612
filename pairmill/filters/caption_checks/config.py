"""The keys of `caption_checks`."""

from typing import Annotated, Literal

from pydantic import Field

from pairmill.filters.caption_checks.objects import COCO
from pairmill.models.load import Spec
from pairmill.schemas.config import FILE, MODEL, SPEED, StageConfig
from pairmill.torch_device import Device, Precision


class CaptionChecksConfig(StageConfig):
    """What is wrong with a caption, as far as it can be told without a reference: one column for
    each check, and gates are yours.

    Recommended: `NOT check_refusal AND NOT check_leak AND NOT check_truncated AND
    check_repeated_sentences = 0 AND check_longest_run <= 3 AND check_hedges <= 8 AND check_language
    = 'en'` (docs/captions.md has the precision and recall of each on a labelled list).
    """

    stage: Annotated[Literal["caption_checks"], SPEED] = "caption_checks"
    caption: str
    """Column with captions."""
    alt: str | None = "text"
    """Column with the web's own texts, which the caption is compared with; `null` without."""
    facts: list[str] = []
    """Further text columns whose numbers a caption may give, such as recognised writing."""
    finish_reason: str | None = None
    """Column that says why the caption's writing ended; absent: the one that its stage wrote."""
    language_model: Annotated[str | None, FILE] = None
    """A fastText model file that tells languages; absent: lid.176.ftz, which is there."""
    objects: str | None = None
    """Column with detected objects: a list of names, or of structs with `label`."""
    object_names: dict[str, list[str]] = Field(COCO, max_length=20_000)
    """What a detector can find → further words for it (plurals in -s are known).  A word of the
    caption that means none of the detected ones is ungrounded.  Absent: COCO's 80 categories.
    """
    model: Annotated[str | None, MODEL] = None
    """Hub id or folder of a two-tower model (see `clip`) that compares each sentence with the
    image; absent: none does.
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    trust_remote_code: bool = False
    """Lets the checkpoint run code of its own: read it before."""
    image: str = "image"
    """Column with encoded images, read where there is a model."""
    image_processor: Literal["auto", "pil", "torchvision"] = "auto"
    """Which of a family's image processors, as for `clip`."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "auto"
    """Precision of the model, as for `clip`."""
    batch_size: Annotated[int, SPEED] = Field(64, ge=1, le=65_536)
    """Rows given to the stage at once."""

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        assert self.model is not None, "asked for only where a model is named"
        return Spec(
            model=self.model,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
            device=self.device,
            dtype=self.dtype,
            image_processor=None if self.image_processor == "auto" else self.image_processor,
            cpus=self.resources.cpus or cpus,
        )
