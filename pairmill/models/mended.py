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


SEVERAL = {"blip-2": "several-1", "mllama": "several-1"}
"""As MENDS, of models whose rows with several pictures were answered by the rows beside them."""


PADDED_BEHIND = "padded-behind-1"
"""Of two towers whose tokenizer pads texts before their first word: a text's vector depended on
those beside it.
"""
TO_ONE_LENGTH = ("align", "siglip", "tipsv2")
"""Parts of the types of two towers whose texts are all padded to one length."""
WRITERS = ("ForCausalLM", "ForConditionalGeneration")
"""Ends of the classes of models that write texts, and are no two towers."""


def pads_before(description: Mapping[str, Any], words: Mapping[str, Any]) -> bool:
    """Whether two towers' texts would be padded before their first word, and not all to one length;
    `words`: the checkpoint's tokenizer_config.json.
    """
    kind = str(description.get("model_type"))
    two = "text_config" in description and "vision_config" in description
    writes = any(name.endswith(WRITERS) for name in description.get("architectures") or [])
    left = words.get("padding_side") == "left"
    return two and left and not writes and not any(part in kind for part in TO_ONE_LENGTH)


def mends_of(
    description: Mapping[str, Any],
    asked: bool = True,
    sampled: bool = False,
    several: bool = False,
) -> list[str]:
    """The mends that a checkpoint with such a config.json gets.

    `asked`: where it answers prompts, `sampled`: by chance, `several`: about several pictures each.
    """
    kind = description.get("model_type")
    found = {MENDS[part] for part in types_in(description) if part in MENDS}
    if sees_padding(kind, description.get("is_encoder_decoder", True)):
        found.add(UNPADDED)
    if not asked:
        found.discard(UNPADDED)
    if sampled and kind in SAMPLED:
        found.add(SAMPLED[kind])
    if several and kind in SEVERAL:
        found.add(SEVERAL[kind])
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
