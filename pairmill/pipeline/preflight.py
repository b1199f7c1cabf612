"""What would stop a run late, looked at before any work: places that cannot be written to, GPUs
that are not there.
"""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from pairmill.errors import RunError
from pairmill.plan.plan import Plan
from pairmill.plan.planned import every_stage


def preflight(plan: Plan, local: bool) -> None:
    """Raises RunError with every fault at once.  `local`: the run uses this process alone."""
    places = {"workspace": plan.config.workspace}
    places |= {f"output {i + 1}": w.config.path for i, w in enumerate(plan.writers)}
    faults = [f"{name}: {why}" for name, path in places.items() if (why := unusable(path))]
    faults += gpu_faults(plan) if local else ()
    if faults:
        raise RunError("; ".join(faults))


def unusable(path: str) -> str | None:
    """Why no file can be written below a local folder, or None; other stores are asked when they
    are opened.
    """
    parts = urlsplit(path)
    if parts.scheme not in ("", "file"):
        return None
    folder = os.path.abspath(os.path.expanduser(parts.path if parts.scheme else path))
    if os.path.exists(folder) and not os.path.isdir(folder):
        return f"{folder} is a file; name a folder"
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return f"{folder}, in which it would lie, is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return (
            f"{folder} cannot be written to by this user; choose another path, or change its rights"
        )
    return None


def gpu_faults(plan: Plan) -> Iterator[str]:
    """Stages that ask for more GPUs than torch sees on this machine."""
    asking = [s for s in every_stage(plan.stages) if s.config.resources.gpus]
    if not asking:
        return
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for stage in asking:
        resources = stage.config.resources
        least, _ = resources.bounds() or (1, 1)
        if least * resources.gpus > there:
            times = f"{least} times " if least > 1 else ""
            yield (
                f"stage {stage.name!r} asks for {times}{resources.gpus:g} GPU, and torch "
                f"sees {there} on this machine; take `resources.gpus` away, or run on a cluster "
                "that has them"
            )
