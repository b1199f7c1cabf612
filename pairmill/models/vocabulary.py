"""Whether a checkpoint's tokenizer is there, and its model's own."""

from typing import TYPE_CHECKING, Any

from pairmill.errors import StageBroken

if TYPE_CHECKING:
    from pairmill.models.load import Spec

SENTENCE = "the quick brown fox jumps over the lazy dog"


def check_words(stage: str, spec: "Spec", tokenizer: Any) -> None:
    """Raises StageBroken for a tokenizer that knows no words, as transformers makes one where its
    files are missing: every text would be the same to the model.
    """
    if not hasattr(tokenizer, "convert_tokens_to_ids"):
        return
    found = set(tokenizer(SENTENCE, add_special_tokens=False)["input_ids"])
    if not found - {tokenizer.unk_token_id}:
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r}: the checkpoint's tokenizer knows no words; "
            "are its files (tokenizer.json, …) missing?"
        )


def check_vocabulary(stage: str, spec: "Spec", config: Any, tokenizer: Any) -> None:
    """Raises StageBroken where the tokenizer's own vocabulary is larger than the model's: words
    would be looked up where there are no weights, which ends a GPU's work.
    """
    rows, words = rows_of(config), getattr(tokenizer, "vocab_size", None)
    if rows is not None and isinstance(words, int) and words > rows:
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} has weights for {rows} tokens, and its "
            f"tokenizer makes {words}: it is another model's; take the tokenizer's files from the "
            "original checkpoint"
        )


def rows_of(config: Any) -> int | None:
    """Tokens that the model has an embedding for; None where its config does not tell."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    rows = getattr(text, "vocab_size", None)
    return rows if isinstance(rows, int) else None


def context_of(config: Any, new_tokens: int) -> int | None:
    """The longest prompt, in tokens, that the model can read and answer; None where its config does
    not tell.

    Where places are learnt one by one, the answer's have to be there, too; others are computed, and
    go on for a while.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    places = getattr(text, "max_position_embeddings", None)
    if not isinstance(places, int) or places <= 1:
        return None
    turns = getattr(text, "rope_parameters", None) or getattr(text, "rope_theta", None)
    written = 0 if turns or getattr(config, "is_encoder_decoder", False) else new_tokens
    return max(1, places - written)
