"""Memory that a model's weights take once they are loaded, and what this machine has left of it."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pairmill.errors import StageBroken
from pairmill.models.files import (
    OTHER_WEIGHTS,
    cached_folder,
    checkpoint_dtype,
    is_folder,
    quantisation,
    read_json,
)
from pairmill.models.load import Spec
from pairmill.models.outline import outlined

BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by precision."""
MEMORY = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells of its memory, and a container of its own."""
UNLIMITED = 1 << 60
"""Bytes from which the first kind of cgroups means no limit."""


def weight_bytes(spec: Spec, ask: bool = False) -> int | None:
    """Bytes of a model's weights in the memory of its device, at least; None where its files are
    not on this machine, or do not tell.  `ask`: the hub, whose description of the model is here.
    """
    is_here = is_folder(spec.model)
    folder = spec.model if is_here else cached_folder(spec.model, spec.revision, not ask)
    if folder is None:
        return None
    folder = os.path.expanduser(folder)
    try:
        size = stored_bytes(folder)
        config = read_json(folder, "config.json")
    except (OSError, ValueError, KeyError, StageBroken):  # what is damaged is told by who loads it
        return None
    if not size and ask and not is_here:
        with tempfile.TemporaryDirectory() as scratch:
            size = outlined(spec.model, spec.revision, folder, Path(scratch)) or 0
    if not size:
        return None
    if quantisation(config) is not None:
        return size
    stored = checkpoint_dtype(config)
    # `auto` may take the half of it on a CPU, and never more than there is
    wanted = "bfloat16" if spec.dtype == "auto" else spec.dtype
    return size * BYTES_OF[wanted] // BYTES_OF[stored]


def stored_bytes(folder: str) -> int:
    """Bytes of the weights on the disk, of one format."""
    for ending in ("safetensors", "bin"):
        index = next(Path(folder).glob(f"*.{ending}.index.json"), None)
        if index is not None:
            names = set(json.loads(index.read_bytes())["weight_map"].values())
        else:
            single = [f"model.{ending}", f"pytorch_model.{ending}", *dict.fromkeys(OTHER_WEIGHTS)]
            names = {n for n in single if n.endswith(ending) and (Path(folder) / n).exists()}
        if names:
            return sum(os.stat(f"{folder}/{name}").st_size for name in names)
    return 0


def free_memory() -> int | None:
    """Bytes that processes may still take on this machine or in this container; None where it does
    not say.
    """
    known = [b for b in (machine_memory(), container_memory()) if b is not None]
    return min(known, default=None)


def machine_memory() -> int | None:
    """What the kernel says is available."""
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return None
    return next((int(n.split()[1]) * 1024 for n in lines if n.startswith("MemAvailable:")), None)


def container_memory() -> int | None:
    """What is left below the limit of a container; memory that only holds files counts as free."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most, taken = (int((CONTAINER / name).read_text()) for name in (limit, used))
            words = (CONTAINER / cached).read_text().split()
        except (OSError, ValueError):  # no such group, or its limit is `max`
            continue
        files = dict(zip(words[::2], words[1::2], strict=False)).get("inactive_file", "0")
        return None if most >= UNLIMITED else most - taken + int(files)
    return None


def free_of_gpus() -> list[int]:
    """Free bytes of each GPU that nvidia-smi sees; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
        return [int(line) * 2**20 for line in said.split()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
