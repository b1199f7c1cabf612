"""Checkpoints that are no two-tower models, by their description, with what to take instead."""

from typing import Any

from pairmill.errors import StageBroken
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.library import transformers
from pairmill.models.load import Spec, guarded, load_config

HEADS = ("TextRetrieval", "ITM", "ImageTextMatching")
"""Parts of the names of image–text matching heads."""
NO_VECTORS = ("flava", "blip-2")
"""Types of models with both features, but of each token, or for another part of the model."""
WRITERS = ("ForConditionalGeneration", "ForQuestionAnswering")
"""Ends of the classes of BLIP's checkpoints that have no projections of their towers."""


def check_towers(stage: str, spec: Spec) -> None:
    """Raises StageBroken where the checkpoint is no two-tower model; reads its description
    alone.
    """
    fault = fault_of(stage, spec)
    if fault is not None:
        what, instead = fault
        start = f"stage {stage!r}: {spec.model!r} is "
        raise StageBroken(f"{start}{what}; {instead} a two-tower model (CLIP, SigLIP, ALIGN, …)")


def fault_of(stage: str, spec: Spec) -> tuple[str, str] | None:
    """What the checkpoint is, and what to take instead, where it has no two towers."""
    folder = checkpoint_folder(
        spec.model, spec.revision, weights=False, code=spec.trust_remote_code
    )
    named = read_json(folder, "config.json").get("architectures") or []
    for name in named:
        if any(part in name for part in HEADS):
            return (
                f"{name}, an image–text matching head that looks at both at once",
                "the stage `match` scores pairs by such a head, and this one needs",
            )
    config = load_config(stage, folder, spec)
    for name in named:
        if config.model_type == "blip" and name.endswith(WRITERS):
            return (
                f"{name}, which writes texts and has no projections of its towers",
                "the stage `caption` asks it, `match` scores pairs by a matching head "
                "('Salesforce/blip-itm-base-coco'), and this one needs",
            )
    kind = class_of(stage, spec, folder, config)
    if kind is None:
        return None  # a type that `load` will name
    loaded = f"loaded as {kind.__name__}, "
    if config.model_type in NO_VECTORS:
        what = "whose towers do not make one vector of a picture and one of a text"
        return loaded + what, "`clip` needs one that does:"
    has = {side for side in ("image", "text", "video") if hasattr(kind, f"get_{side}_features")}
    if {"video", "text"} <= has and "image" not in has:
        return loaded + "which makes a vector of a film, not of a picture", "`clip` needs"
    if not {"image", "text"} <= has:
        return loaded + "which has not both an image and a text tower", "`clip` needs"
    return None


def class_of(stage: str, spec: Spec, folder: str, config: Any) -> Any:
    """The class by which `AutoModel` loads the checkpoint, its own code's where it may run; None
    where there is none.
    """
    own = (getattr(config, "auto_map", None) or {}).get("AutoModel")
    if own and spec.trust_remote_code:
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        return guarded(stage, spec, lambda: get_class_from_dynamic_module(own, folder))
    known: Any = transformers().AutoModel._model_mapping.get(type(config), None)
    return known[0] if isinstance(known, (list, tuple)) else known
