"""Files of a checkpoint that are cut off, missing or something else, told by name and with what to
do, where the libraries that read them speak of headers and keyword arguments.
"""

import json
from pathlib import Path

from pairmill.errors import first_line

LONGEST_HEADER = 100 * 2**20
"""Bytes: what safetensors itself takes for one."""
PICKLES = (
    "its .bin files are damaged, or hold more than weights, which would run code when they are "
    "read; fetch them again, or take a checkpoint in safetensors"
)
NO_TOKENIZER = (
    "its tokenizer's files are missing (tokenizer.json, or a vocabulary of another form); take "
    "them from the original checkpoint"
)
KNOWN = (
    ("Weights only load failed", PICKLES),
    ("PytorchStreamReader", PICKLES),
    ("[Errno 22] Invalid argument", PICKLES),
    (
        "Can't load image processor",
        "no file says how its pictures are prepared: preprocessor_config.json or "
        "processor_config.json is missing or incomplete; take it from the original checkpoint",
    ),
    ("Couldn't instantiate the backend tokenizer", NO_TOKENIZER),
    ("Either model_file or model_proto must be specified", NO_TOKENIZER),
    (
        "Unrecognized processing class",
        "neither a processor nor a tokenizer can be made of its files: tokenizer.json, "
        "tokenizer_config.json or preprocessor_config.json is missing or damaged; fetch them again",
    ),
)
"""Words of errors, and what they mean to a user."""


def reason_of(error: BaseException, folder: str | None = None) -> str:
    """Why a checkpoint does not load, in words that say what to do where that is known."""
    text = str(error)
    known = next((words for part, words in KNOWN if part in text), None)
    if known is not None:
        return known
    if folder is not None and "deserializing header" in text:
        return damaged_weights(folder) or first_line(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if isinstance(error, ImportError) and lines:
        return lines[0]
    if len(lines) > 1 and lines[0].endswith(":"):
        return " ".join(lines[:2])[:300]
    return first_line(error)


def damaged_weights(folder: str) -> str | None:
    """What is wrong with the first file of weights that cannot be whole; None where all may be."""
    for file in sorted(Path(folder).glob("*.safetensors")):
        if file.is_file() and (fault := fault_of(file)):
            return f"{file.name} {fault}; fetch it again"
    return None


def fault_of(file: Path) -> str | None:
    """What is wrong with a safetensors file, by its header and its length."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8:
            return "is empty" if not size else "is cut off"
        if length > LONGEST_HEADER:
            return "is no safetensors file"
        text = stream.read(length)
    if len(text) < length:
        return f"is cut off: it has {size:,} bytes, not even its header is whole"
    try:
        header = json.loads(text)
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "is no safetensors file"
    whole = 8 + length + max(ends, default=0)
    return f"is cut off: it has {size:,} of {whole:,} bytes" if size < whole else None
