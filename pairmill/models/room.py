"""Memory that a model's weights take on its device, and what GPUs have left of it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pairmill.errors import StageBroken
from pairmill.models.files import (
    cached_folder,
    checkpoint_dtype,
    is_folder,
    quantisation,
    read_json,
)
from pairmill.models.load import Spec
from pairmill.models.outline import outlined
from pairmill.models.sizes import BYTES, stored_bytes


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
    return size * BYTES[wanted] // BYTES[stored]


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
