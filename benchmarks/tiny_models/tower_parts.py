"""Parts of tiny two-tower models: sizes, tokenizers."""

from typing import Any

from tiny_models.parts import tokenizer

TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 4, "vocab_size": 320, "projection_dim": 24}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
VISION |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 16, "projection_dim": 24}
SIDE = {"height": 32, "width": 32}
EDGE = {"size": {"shortest_edge": 32}, "crop_size": SIDE}


def clip_words(length: int) -> Any:
    return tokenizer(
        ["<|startoftext|>", "<|endoftext|>"],
        bos="<|startoftext|>",
        eos="<|endoftext|>",
        wrap=(["<|startoftext|>"], ["<|endoftext|>"]),
        length=length,
    )


def bert_words() -> Any:
    return tokenizer(
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
        bos="[CLS]",
        eos="[SEP]",
        pad="[PAD]",
        wrap=(["[CLS]"], ["[SEP]"]),
        length=512,
    )


def roberta_words() -> Any:
    return tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>"],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        wrap=(["<s>"], ["</s>"]),
    )


ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
