"""Faults of transformers' own models, mended where a model is loaded.

What a mended model answers hangs on the mend, so its name is part of the identity of stages with
such a model (plan/references.py): values from before it was there are computed once more, those of
all other models stay.
"""

from collections.abc import Iterator, Mapping
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

PADDING_SEEN = ("deepseek_v4", "recurrent_gemma", "roformer", "xlnet")
"""Types of text models to which padding is as good as a word (transformers 5.23): they cut a prompt
into pieces from its first token on, or count places, be it padding.
"""
DECODERS = (
    "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp",
    "pegasus", "plbart", "prophetnet",
)  # fmt: skip
"""Types of encoder–decoders whose decoder, as a model by itself, counts places from the first
token.
"""
UNPADDED = "unpadded-1"
"""The mend of both: a batch of theirs has prompts of one length."""

MENDS = {
    **dict.fromkeys(PADDING_SEEN, UNPADDED),
    "aimv2": "causal-text-1",
    "aimv2_text_model": "causal-text-1",
    "hunyuan_vl": "alone-1",  # it counts images through; captioners/transformers_engine.py
    "phi4_multimodal": "seeing-tiles-1",
    "phi4_multimodal_vision": "seeing-tiles-1",
}
"""Type of a model, or of a part of it → the mend that it gets.  A mend that computes otherwise than
before has another name.
"""


SAMPLED = {"janus": "sampled-1"}
"""As MENDS, of models that answered the same whatever `temperature` said."""


PADDED_BEHIND = "padded-behind-1"
"""Of two towers whose tokenizer pads texts before their first word: a text's vector depended on
those beside it.
"""


def pads_before(description: Mapping[str, Any], words: Mapping[str, Any]) -> bool:
    """Whether two towers' texts would be padded before their first word, and not all to one length;
    `words`: the checkpoint's tokenizer_config.json.
    """
    kind = str(description.get("model_type"))
    return words.get("padding_side") == "left" and "siglip" not in kind


def mends_of(description: Mapping[str, Any], sampled: bool = False) -> list[str]:
    """The mends that a checkpoint with such a config.json gets; `sampled`: where its answers are
    drawn by chance.
    """
    found = {MENDS[kind] for kind in types_in(description) if kind in MENDS}
    if sees_padding(description.get("model_type"), description.get("is_encoder_decoder", True)):
        found.add(UNPADDED)
    if sampled and description.get("model_type") in SAMPLED:
        found.add(SAMPLED[description["model_type"]])
    return sorted(found)


def sees_padding(kind: Any, is_encoder_decoder: bool) -> bool:
    """Whether a batch of such a text model has to be of prompts of one length."""
    return kind in PADDING_SEEN or (kind in DECODERS and not is_encoder_decoder)


def types_in(description: Mapping[str, Any]) -> Iterator[str]:
    """The types of a model and of its parts."""
    for name, value in description.items():
        if name == "model_type" and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from types_in(value)


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
