"""The files of a checkpoint on this node: a folder as it is; a hub model from the local cache, or
fetched into it once.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pairmill.errors import StageBroken, first_line
from pairmill.models.fetching import (
    WHOLE,
    fetched,
    fetched_weights,
    hub_answers,
    hub_reason,
    is_described,
)

WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""(all weights in a file, the index of several), in order of preference."""
OPEN_CLIP_WEIGHTS = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
"""Names that open_clip prefers, in its order."""
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
GGUF = "GGUF files are for a server (`engine: openai`, with llama.cpp)"
ADAPTER = ("adapter_config.json",)
OPEN_CLIP = "open_clip_config.json"
DESCRIBED = ("config.json", OPEN_CLIP, *ADAPTER)


def is_folder(model: str) -> bool:
    """Whether `model` means a folder on this node, not a hub id."""
    return model.startswith(("/", ".", "~")) or os.path.isdir(model)


def checkpoint_folder(
    model: str,
    revision: str | None = None,
    weights: bool = True,
    code: bool = False,
    adapter: bool = False,
) -> str:
    """The local folder that holds the checkpoint's files; fetched once per node, under a lock.

    A cached model is never asked for again.  Where a part of it lacks, and the hub is away or the
    cache cannot be written to, it is taken as it is.  `code`: with its Python files, where it is
    trusted; `adapter`: it is one, with weights of its own name.  Raises StageBroken with the hub's
    reason.
    """
    if is_folder(model):
        return local_folder(model)
    check_id(model)
    found = cached_folder(model, revision, weights, adapter)
    if found is not None and described(model, found, code, adapter):
        return found
    from filelock import FileLock
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        if found is not None:
            return found  # perhaps what lacks is not needed
        raise StageBroken(
            f"model {model!r} is not whole in the local cache ({HF_HUB_CACHE}), and HF_HUB_OFFLINE "
            "is set"
        )
    if found is not None and not hub_answers(model):
        WHOLE.add((found, code))
        return found
    locks = Path(HF_HUB_CACHE) / ".locks"
    lock = FileLock(locks / f"pairmill--{model.replace('/', '--')}.lock")
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:  # a cache that others keep
        if found is None:
            raise StageBroken(f"model {model!r} cannot be fetched: {hub_reason(error)}") from None
        WHOLE.add((found, code))
        return found
    try:
        found = cached_folder(model, revision, weights, adapter)
        if found is not None:
            return completed(model, found, code, adapter)
        folder = fetched(model, revision, code)
        if weights and not has_weights(folder, adapter):
            fetched_weights(model, folder, weights_of(folder, adapter))
        return folder
    finally:
        lock.release()


def described(model: str, folder: str, code: bool, adapter: bool) -> bool:
    """Whether a cached snapshot holds what the model needs, as far as is known here; of an adapter
    that is the file by which it was found.
    """
    return adapter or is_described(model, folder, code, read_json(folder, "config.json"))


def completed(model: str, folder: str, code: bool, adapter: bool) -> str:
    """A cached snapshot with what it lacks to be described whole; as it is where the hub is away,
    which is not asked again.
    """
    if not described(model, folder, code, adapter):
        with suppress(StageBroken):
            fetched(model, os.path.basename(folder), code)
        WHOLE.add((folder, code))
    return folder


def local_folder(model: str) -> str:
    """A folder on this node; raises StageBroken where it is none."""
    place = os.path.expanduser(model)
    if place.endswith(".gguf"):
        raise StageBroken(f"model {model!r}: {GGUF}")
    if not os.path.isdir(place):
        what = (
            "is a file; name the folder" if os.path.exists(place) else "is no folder here; name one"
        )
        raise StageBroken(f"model {model!r} {what} that holds the checkpoint's files")
    return place


def check_id(model: str) -> None:
    """Raises StageBroken for what can be no hub id."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        page = model.partition("huggingface.co/")[2].rstrip("/")
        advice = f"write {page!r}" if page else "it is written 'owner/name', a folder '/path/to/it'"
        raise StageBroken(f"model {model!r} is no id of the hub: {advice}") from None


def cached_folder(
    model: str, revision: str | None, weights: bool, adapter: bool = False
) -> str | None:
    """The model's folder in the local cache, if what is needed of it is there; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    for name in ADAPTER if adapter else DESCRIBED:
        file = try_to_load_from_cache(model, name, revision=revision)
        if isinstance(file, str):
            folder = os.path.dirname(file)
            return folder if not weights or has_weights(folder, adapter) else None
    return None


def has_weights(folder: str, adapter: bool = False) -> bool:
    """Whether weights are there, all parts of them."""
    return missing_weights(folder, adapter) is None


def weights_of(folder: str, adapter: bool = False) -> list[tuple[str, str]]:
    """(file of all weights, file of an index of several) that who loads the model looks for, in
    order of preference; the index is empty where there is none.
    """
    config = read_json(folder, "config.json")
    if adapter or (not config and os.path.exists(f"{folder}/{ADAPTER[0]}")):
        return [(name, "") for name in ADAPTER_WEIGHTS]
    if "model_type" not in config and os.path.exists(f"{folder}/{OPEN_CLIP}"):
        return [(name, "") for name in OPEN_CLIP_WEIGHTS]
    return list(WEIGHTS)


def missing_weights(folder: str, adapter: bool = False) -> str | None:
    """What a folder's weights lack, in words; None where they are whole."""
    wanted = weights_of(folder, adapter)
    for name, index in wanted:
        if os.path.exists(f"{folder}/{name}"):
            return None
        if index and os.path.exists(f"{folder}/{index}"):
            parts = sorted(set(read_json(folder, index).get("weight_map", {}).values()))
            gone = [part for part in parts if not os.path.exists(f"{folder}/{part}")]
            told = f"{len(gone)} of {len(parts)} parts are missing: {', '.join(gone[:3])}; is its "
            told += "download complete?"
            return told if gone or not parts else None
    if any(name.endswith(".gguf") for name in os.listdir(folder)):
        return GGUF
    return f"neither {' nor '.join(name for name, _ in wanted)}; is its download complete?"


def read_json(folder: str, name: str) -> dict[str, Any]:
    """A description file of a checkpoint, empty where there is none; raises StageBroken."""
    file = Path(folder) / name
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StageBroken(f"{file} cannot be read: {first_line(error)}") from None
    if not isinstance(found, dict):
        raise StageBroken(f"{file} holds a {type(found).__name__}, not an object")
    return found


def quantisation(config: Mapping[str, Any]) -> str | None:
    """How the checkpoint's weights are quantised (`fp8`, `awq`, …), of the whole or of its text
    model.
    """
    for place in (config, config.get("text_config") or {}):
        for name in ("quantization_config", "compression_config"):
            told = place.get(name) or {}
            if told.get("load_in_4bit") or told.get("load_in_8bit"):
                return "bitsandbytes"
            if told:
                return str(told.get("quant_method") or "an unnamed method")
    return None


def checkpoint_dtype(config: Mapping[str, Any]) -> str:
    """The precision in which the weights were saved."""
    places = (config, *(config.get(k) or {} for k in ("text_config", "vision_config")))
    for place in places:
        named = place.get("dtype") or place.get("torch_dtype")
        if named in ("float32", "bfloat16", "float16"):
            return str(named)
    return "float32"


def mentions(model: str, revision: str | None, words: tuple[str, ...]) -> bool:
    """Whether the checkpoint's chat template or tokenizer knows one of some words."""
    folder = Path(checkpoint_folder(model, revision, weights=False))
    names = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    files = [folder / n for n in (*names, "tokenizer.json", "added_tokens.json")]
    texts = (f.read_bytes() for f in files if f.exists())
    marks = [w.encode() for w in words]
    return any(mark in text for text in texts for mark in marks)
