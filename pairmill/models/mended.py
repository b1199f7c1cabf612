"""Faults of transformers' own models, mended where a model is loaded."""

from typing import Any

CAUSAL_EYES = ("Phi4MultimodalVisionAttention",)
"""Layers of image towers that say of themselves that no place sees those behind it (transformers
5.23).  Its `sdpa` kernels believe it where nothing is masked, which is where pictures fill their
tiles: a picture's vectors would depend on the pictures beside it.
"""

CAUSAL_WORDS = ("Aimv2TextModel",)
"""Text towers that let no token see those behind it, and whose layers do not say so (transformers
5.23).  Their `sdpa` kernels then see all of a text where nothing is masked, which is where a
batch's texts are equally long: a text's vector would depend on the texts beside it.
"""


def mended(model: Any) -> Any:
    """The model, with layers that know what they are."""
    for layer in model.modules():
        if type(layer).__name__ in CAUSAL_EYES:
            layer.is_causal = False
        if type(layer).__name__ in CAUSAL_WORDS:
            for part in layer.modules():
                if hasattr(part, "is_causal"):
                    part.is_causal = True
    return model
