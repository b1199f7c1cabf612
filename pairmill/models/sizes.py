"""What a checkpoint takes of a machine's memory, told by its files."""

import json
import os
from pathlib import Path
from typing import Any

from pairmill.errors import StageBroken
from pairmill.models.files import (
    cached_folder,
    checkpoint_dtype,
    is_folder,
    quantisation,
    read_json,
    weights_of,
)

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of one weight."""
BATCH_TOKENS = 1024
"""Of a prompt with its picture, on a CPU's batches."""


def bytes_on_cpu(model: str, revision: str | None, dtype: str = "auto") -> int | None:
    """Bytes of the weights as a CPU computes with them, at most: `dtype: auto` may be float32; None
    where they are not on this node yet.
    """
    folder = os.path.expanduser(model) if is_folder(model) else cached_folder(model, revision, True)
    if folder is None:
        return None
    try:
        config = read_json(folder, "config.json")
    except StageBroken:
        return None
    stored = stored_bytes(folder)
    if not stored:
        return None
    saved = 1 if quantisation(config) else BYTES[checkpoint_dtype(config)]
    return stored * max(1, BYTES.get(dtype, 4) // saved)


def stored_bytes(folder: str) -> int:
    """Bytes of the weights on the disk, of one format."""
    for whole, index in weights_of(folder):
        if os.path.exists(f"{folder}/{whole}"):
            return os.stat(f"{folder}/{whole}").st_size
        if index and os.path.exists(f"{folder}/{index}"):
            names = set(json.loads(Path(folder, index).read_bytes())["weight_map"].values())
            return sum(os.stat(f"{folder}/{name}").st_size for name in names)
    return 0


def batch_bytes(config: Any, rows: int, new_tokens: int) -> int:
    """Bytes that a batch takes while it is answered, by a guess: keys and values of all its tokens
    in float32, and as much again for what the layers make.
    """
    text = config.get_text_config()
    layers = getattr(text, "num_hidden_layers", 0) or 0
    heads = getattr(text, "num_attention_heads", 0) or 1
    wide = getattr(text, "head_dim", None) or getattr(text, "hidden_size", 0) // heads
    kept = getattr(text, "num_key_value_heads", None) or heads
    return int(2 * 2 * 4 * layers * kept * wide * rows * (BATCH_TOKENS + new_tokens))
