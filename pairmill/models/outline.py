"""A hub model's weights by name, type and shape, read before gigabytes of them are fetched."""

import json
import os
from pathlib import Path
from typing import Any


def outlined(model: str, revision: str | None, folder: str, place: Path) -> int | None:
    """Makes `place` a checkpoint like the hub's, for whoever asks for names and shapes alone:
    `folder`'s descriptions, and weights with their headers and nothing behind, which takes no room
    on a disk.

    Returns the bytes that the weights have on the hub; None where it cannot tell: it is away, or
    the weights are no safetensors.
    """
    from huggingface_hub import HfApi

    try:
        files = HfApi().get_safetensors_metadata(model, revision=revision).files_metadata
    except Exception:  # no safetensors, gated, no network: fetching will say it
        return None
    for file in Path(folder).iterdir():
        os.symlink(file.resolve(), place / file.name)
    return sum(write_header(place / name, facts) for name, facts in files.items())


def write_header(file: Path, facts: Any) -> int:
    """Writes a safetensors file of the right size with nothing in it; returns the size."""
    header: dict[str, Any] = {
        name: {"dtype": one.dtype, "shape": one.shape, "data_offsets": one.data_offsets}
        for name, one in facts.tensors.items()
    }
    end = max((one.data_offsets[1] for one in facts.tensors.values()), default=0)
    if facts.metadata:
        header["__metadata__"] = facts.metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.truncate(8 + len(text) + end)
    return 8 + len(text) + int(end)
