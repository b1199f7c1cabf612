"""Where a model runs: chosen openly, never a silent CPU run where a GPU was asked for."""

from typing import Any, Literal

from pairmill.errors import StageBroken

Device = Literal["auto", "cuda", "cpu"]
Precision = Literal["float32", "bfloat16", "float16"]


def pick_device(wanted: Device, stage: str) -> str:
    """`cuda` or `cpu`; raises StageBroken for `cuda` without a usable GPU."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise StageBroken(
            f"stage {stage!r}: device is cuda, and torch sees no GPU in this worker; give the stage `resources: {{gpus: 1}}` "
            "on a node that has one, or set `device: auto`"
        )
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def pick_dtype(wanted: Precision) -> Any:
    """The torch dtype.  It decides values, so it never depends on where the model runs."""
    import torch

    return getattr(torch, wanted)


def limit_threads(cpus: float) -> None:
    """Torch's own threads, as many as the worker's whole cores: a fixed number, so that results
    repeat.
    """
    import torch

    torch.set_num_threads(max(1, int(cpus)))
