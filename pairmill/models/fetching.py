"""A hub model's files: which of them the local cache holds, and the others fetched."""

import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pairmill.errors import StageBroken, first_line

DESCRIPTIONS = (
    *("*.json", "*.jinja", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.jsonl", "*.ttf"),
)
"""Files that say what a model is: small, and all that a check needs; fonts that processors draw
with.
"""
NEEDED = (
    *("config.json", "*_config.json", "chat_template*", "tokenizer.json"),
    *("special_tokens_map.json", "added_tokens.json"),
)
"""Of these, what a model of the cache is completed for; the others may be a licence or a second
form of the vocabulary.
"""
VOCABULARIES = ("vocab.*", "merges.txt", "*.model", "*.spm", "*.tiktoken")
"""What a tokenizer is made of where there is no tokenizer.json."""
IN_FOLDERS = ("*/*.json", "*/*.model", "*/*.tiktoken")
UNUSED = ("original/*", "onnx/*", "openvino/*", "coreml/*", "*.gguf", "*.h5", "*.msgpack", "*.onnx")
PREPARATION = ("preprocessor_config.json", "processor_config.json")
VOCABULARY = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt")
PATIENCE_S = 5
"""How long a hub is waited for where the model is in the cache."""
WHOLE: set[tuple[str, bool]] = set()
"""Snapshots, with code or without, that were found whole or asked for by this process."""


def descriptions(code: bool) -> list[str]:
    """Patterns of the files that describe a model, with its Python files where they may run."""
    return [*DESCRIPTIONS, *(["*.py"] if code else [])]


def needed(folder: str, code: bool) -> list[str]:
    """Patterns of the files without which a model, with its own code, may not load or may load
    otherwise.
    """
    whole = os.path.exists(f"{folder}/tokenizer.json") and not code
    return [*NEEDED, *(() if whole else VOCABULARIES), *(["*.py"] if code else [])]


def is_described(model: str, folder: str, code: bool, config: Mapping[str, Any]) -> bool:
    """Whether the cached snapshot holds what the model needs of all that the hub has to describe
    it, as far as this machine knows: a download that was broken off, or another program, may have
    left a part of it.

    The hub's list of files tells, where a download of whole snapshots has left one in the cache;
    else what such a model cannot be without.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if (folder, code) in WHOLE:
        return True
    names = set(os.listdir(folder))
    wanted = PREPARATION if "vision_config" in config else (*PREPARATION, *VOCABULARY)
    timm = "architecture" in config and "model_type" not in config  # says all in config.json
    lacking = not timm and names.isdisjoint(wanted)
    lacking |= code and not all(os.path.exists(f"{folder}/{m}") for m in modules_of(config))
    try:
        snapshot_download(
            model,
            revision=os.path.basename(folder),
            allow_patterns=needed(folder, code),
            ignore_patterns=[*UNUSED, *IN_FOLDERS],
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return False
    if not lacking:
        WHOLE.add((folder, code))
    return not lacking


def modules_of(config: Mapping[str, Any]) -> Iterator[str]:
    """Python files of a checkpoint's own code, as its config names them."""
    for named in (config.get("auto_map") or {}).values():
        for one in named if isinstance(named, list) else [named]:
            if isinstance(one, str) and "--" not in one:
                yield one.rpartition(".")[0].replace(".", "/") + ".py"


def hub_answers(model: str) -> bool:
    """Whether the hub tells of the model, within seconds: its own library tries for long."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model, timeout=PATIENCE_S)
    except Exception:  # no network, a firewall, no right to it: the library raises many
        return False
    return True


def fetched(model: str, revision: str | None, code: bool) -> str:
    """The folder with the descriptions fetched from the hub; raises StageBroken with the hub's
    reason.
    """
    folder = from_hub(model, revision, descriptions(code))
    WHOLE.add((folder, code))
    return folder


def fetched_weights(model: str, folder: str, wanted: Sequence[tuple[str, str]]) -> None:
    """Fetches weights of one format into the cached snapshot `folder`.

    `wanted`: in order of preference, a file of all of them and the file of an index of several;
    where the hub has none of these, all that it has of a format.
    """
    from huggingface_hub import HfApi

    commit = os.path.basename(folder)
    try:
        names = set(HfApi().list_repo_files(model, revision=commit))
    except Exception as error:  # as in `from_hub`
        raise StageBroken(f"model {model!r} cannot be fetched: {hub_reason(error)}") from None
    from_hub(model, commit, patterns_of(names, folder, wanted))


def patterns_of(names: set[str], folder: str, wanted: Sequence[tuple[str, str]]) -> list[str]:
    """What to fetch of the names on the hub."""
    for whole, index in wanted:
        if whole in names:
            return [glob.escape(whole)]
        if index in names:
            with open(f"{folder}/{index}", "rb") as file:
                parts = set(json.load(file)["weight_map"].values())
            return sorted(glob.escape(str(part)) for part in parts)
    own = any(n.endswith(".safetensors") and "/" not in n for n in names)
    return ["*.safetensors" if own else "*.bin"]


def from_hub(model: str, revision: str | None, patterns: list[str]) -> str:
    """The snapshot's folder with all files of these patterns; raises StageBroken with the hub's
    reason.
    """
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(
            model, revision=revision, allow_patterns=patterns, ignore_patterns=list(UNUSED)
        )
    except Exception as error:  # gated, gone, no network, no disk: the hub's library raises many
        raise StageBroken(f"model {model!r} cannot be fetched: {hub_reason(error)}") from None


def hub_reason(error: BaseException) -> str:
    """Why the hub gave nothing, in its own words, and what can be done."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    chain = list(causes(error))
    for one in chain:
        if isinstance(one, GatedRepoError):
            said = getattr(one, "server_message", None) or last_line(one)
            return (
                f"it is gated: {said}; ask for access on its page and log in with a token of that "
                "account (`hf auth login`, or HF_TOKEN)"
            )
        if isinstance(one, RepositoryNotFoundError):
            return (
                "the hub has no such model, or it is private and no token was given (HF_TOKEN): "
                + first_line(one)
            )
    return f"{type(chain[-1]).__name__}: {first_line(chain[-1])}"


def last_line(error: BaseException) -> str:
    """The last line of an error's text that says something, else the error's class."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised from, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__
