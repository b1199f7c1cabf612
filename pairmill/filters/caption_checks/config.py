"""The keys of `caption_checks`."""

from typing import Annotated, Literal

from pydantic import Field

from pairmill.filters.caption_checks.objects import COCO
from pairmill.filters.seeing import ComparingConfig
from pairmill.schemas.config import FILE, MODEL, SPEED


class CaptionChecksConfig(ComparingConfig):
    """What is wrong with a caption, as far as it can be told without a reference: one column for
    each check, and gates are yours.

    Recommended: `check_words > 0 AND NOT check_refusal AND NOT check_leak AND NOT check_truncated
    AND check_repeated_sentences = 0 AND check_longest_run <= 3 AND check_hedges <= 8 AND
    check_language = 'en'` (docs/captions.md has the precision and recall of each on a labelled
    list).
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
    """What a detector can find → further words for it (English plurals are known).  A word of the
    caption that means none of the detected ones is ungrounded.  Absent: COCO's 80 categories.
    """
    model: Annotated[str | None, MODEL] = None
    """Hub id or folder of a two-tower model (see `clip`) that compares each sentence with the
    image; absent: none does.
    """
    image: str = "image"
    """Column with encoded images, read where there is a model."""
    batch_size: Annotated[int, SPEED] = Field(64, ge=1, le=65_536)
    """Rows given to the stage at once."""
