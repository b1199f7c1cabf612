"""Faults of transformers' own models, mended where a model is loaded."""

from typing import Any

CAUSAL_EYES = ("Phi4MultimodalVisionAttention",)
"""Layers of image towers that say of themselves that no place sees those behind it (transformers
5.23).  Its `sdpa` kernels believe it where nothing is masked, which is where pictures fill their
tiles: a picture's vectors would depend on the pictures beside it.
"""


def mended(model: Any) -> Any:
    """The model, with layers that know what they are."""
    for layer in model.modules():
        if type(layer).__name__ in CAUSAL_EYES:
            layer.is_causal = False
    return model
