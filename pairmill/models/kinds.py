"""Kinds of checkpoints that a stage has no use for, told by their description, with what to take
instead.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pairmill.errors import StageBroken
from pairmill.models.library import transformers

if TYPE_CHECKING:
    from pairmill.models.load import Spec

ANSWERING = ("AutoModelForImageTextToText", "AutoModelForCausalLM")
"""Classes of models that answer prompts: who asks for one of them asks a model."""
OTHERWISE = (
    "its code is asked in a way of its own; take the family's checkpoint in transformers' format, "
    "or ask a server (`engine: openai`)"
)
"""What to do where a checkpoint's code gives no class that is asked as transformers asks."""
HEADS = {
    "MaskedLM": "fills gaps in texts",
    "ForSequenceClassification": "gives classes and no text",
    "ForTokenClassification": "gives classes and no text",
    "ForQuestionAnswering": "finds places in texts",
    "ForImageClassification": "gives classes and no text",
}
"""Ends of architectures that write nothing, and what they do."""


TYPES = {
    "vision-encoder-decoder": (
        "reads pictures and is asked by tasks, not in words (Donut, TrOCR, ViT-GPT2); take a model "
        "that answers prompts"
    ),
    "qwen2_5_omni": "answers in speech, too; take a checkpoint of its thinker, or a server",
    "qwen3_omni_moe": "answers in speech, too; take a checkpoint of its thinker, or a server",
    "diffusion_gemma": (
        "writes by diffusion, with draws that all rows of a batch share, so that a row's text "
        "would depend on the rows beside it; ask a server (`engine: openai`), or take Gemma 4"
    ),
    "instructblipvideo": "looks at films; take InstructBLIP",
    "udop": "reads pages by the words and places that OCR found; take a model that answers prompts",
    "evolla": "reads proteins; take a model that answers prompts about pictures",
    "pi0": "steers robots; take a model that answers prompts",
    "reformer": (
        "sorts a prompt's tokens by chance, each time in another way, so that a row's text would "
        "not be the same twice; take another text model"
    ),
    "pp_formulanet": "reads formulas and takes no prompt; take a model that answers prompts",
}
"""Types of models that are not asked by a prompt alone, and what to take instead."""


ONE_PICTURE = ("blip", "blip-2", "instructblip", "git", "florence2", "kosmos-2", "kosmos-2.5")
"""Types of models that look at one picture a prompt: with several transformers 5.23 fails, or
answers another question (BLIP-2).
"""


def check_number(stage: str, spec: "Spec", kind: str, images: int) -> None:
    """Raises StageBroken where a model is shown more pictures at a time than it looks at."""
    if images > 1 and kind in ONE_PICTURE:
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} is of type {kind!r}, which looks at one "
            f"picture a prompt, and `image` names {images} columns; name one, or a model that "
            "looks at several"
        )


def check_kind(stage: str, spec: "Spec", config: Any, classes: Sequence[str]) -> None:
    """Raises StageBroken for a checkpoint that cannot answer prompts where one is wanted, also
    where transformers would load its body into a class that can.
    """
    if not any(name in classes for name in ANSWERING):
        return
    start = f"stage {stage!r}: model {spec.model!r}"
    if config.model_type in TYPES:
        raise StageBroken(
            f"{start} is of type {config.model_type!r}, which {TYPES[config.model_type]}"
        )
    for name in config.architectures or ():
        for end, what in HEADS.items():
            if name.endswith(end):
                raise StageBroken(
                    f"{start} is {name}, which {what}; take a model that answers prompts "
                    "(…ForCausalLM, …ForConditionalGeneration)"
                )
    if spec.trust_remote_code and getattr(config, "auto_map", None):
        return  # what its code does is not told by where transformers has entered it
    if "AutoModelForCausalLM" not in classes and any(
        type(config) in getattr(transformers(), name)._model_mapping
        for name in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM")
    ):
        if any(type(config) in getattr(transformers(), name)._model_mapping for name in classes):
            return
        raise StageBroken(
            f"{start} is a text model ({config.model_type}) and sees no images; set `image: null`, "
            "or name a model that does"
        )


def check_languages(stage: str, spec: "Spec", tokenizer: Any, *told: dict[str, Any]) -> None:
    """Raises StageBroken for a translator that has to be told by a token which language to write
    (NLLB, M2M100, mBART-50), and is not by its checkpoint.
    """
    tells = type(tokenizer).__name__.startswith(("Nllb", "M2M100", "MBart50"))
    if tells and all(one.get("forced_bos_token_id") is None for one in told):
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} translates between many languages and has to "
            "be told by a token into which, which pairmill does not; take a model that is asked in "
            "words, or one for a single pair of languages (Marian, mBART-en-ro)"
        )
