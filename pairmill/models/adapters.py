"""LoRA adapters: all of one has a place in its model, or it is refused."""

import os
from typing import TYPE_CHECKING, Any

from pairmill.errors import StageBroken, first_line
from pairmill.models.damaged import damaged_weights
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.needs import needs

if TYPE_CHECKING:
    from pairmill.models.load import Spec

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
SHOWN = 3
"""Names of weights in a message."""
WHOLE_LAYERS = ("embed_tokens", "lm_head")
"""Parts of their names, in files of adapters that bring them along."""


def adapted(stage: str, model: Any, spec: "Spec") -> Any:
    """The model with the adapter's layers, of `peft`; raises StageBroken where one does not fit
    the other, which `peft` passes over.
    """
    needs(stage, "peft", "`adapter`")
    from peft import PeftModel

    assert spec.adapter is not None
    folder = checkpoint_folder(spec.adapter, spec.adapter_revision, adapter=True)
    told = read_json(folder, "adapter_config.json")
    start = f"stage {stage!r}: the adapter {spec.adapter!r}"
    if (kind := told.get("peft_type")) != "LORA":
        raise StageBroken(f"{start} is of the kind {kind}; a LoRA adapter is wanted")
    if not any(os.path.exists(f"{folder}/{name}") for name in WEIGHTS):
        raise StageBroken(f"{start} has no weights: {WEIGHTS[0]} is missing from {folder}")
    if damage := damaged_weights(folder):
        raise StageBroken(f"{start}: {damage}")
    trained = f"; it was made for {told.get('base_model_name_or_path')!r}"
    try:
        found = PeftModel.from_pretrained(model, folder)
        fault = misfit(found, folder)
    except Exception as error:  # peft raises many kinds
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2]) or first_line(error)
        raise StageBroken(f"{start} does not fit {spec.model!r}: {reason}{trained}") from error
    if fault:
        raise StageBroken(f"{start} does not fit {spec.model!r}: {fault}{trained}")
    return found


def misfit(model: Any, folder: str) -> str:
    """Weights that the model's adapter has no values for, or the file no layer, in words; empty
    where there are none.
    """
    from peft import get_peft_model_state_dict
    from peft.utils import load_peft_weights

    def names(weights: Any) -> set[str]:
        return {n for n in weights if not any(part in n for part in WHOLE_LAYERS)}

    layers = names(get_peft_model_state_dict(model, save_embedding_layers=False))
    stored = names(load_peft_weights(folder, device="cpu"))
    missing, beyond = sorted(layers - stored), sorted(stored - layers)
    parts = [
        f"{words} {', '.join(some[:SHOWN])}{f', … ({len(some)})' if len(some) > SHOWN else ''}"
        for words, some in (("it has no weights for", missing), ("the model lacks", beyond))
        if some
    ]
    return " and ".join(parts)
