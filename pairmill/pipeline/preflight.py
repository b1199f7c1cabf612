"""What would stop a run late, looked at before any work: places that cannot be written to, GPUs
and memory that are not there.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pairmill.errors import RunError
from pairmill.free_memory import free_memory
from pairmill.plan.plan import Plan, blocks_of, phases_of
from pairmill.plan.planned import PlannedStage, every_stage, with_places
from pairmill.workspace.storage import Storage

Key = tuple[str | int, ...]
NO_FOLDER = "name a folder"
"""What to do where a file lies in a folder's place."""
BELOW_BYTES = 400
"""Of the longest path below a workspace or a package."""

DRIVERS = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")
"""What stands there where Linux has a driver of GPUs: Nvidia's, AMD's, that of Windows beneath."""


@dataclass(frozen=True)
class Obstacle:
    """What stops a run, and the key of the pipeline file that it is about."""

    key: Key
    what: str
    elsewhere: bool = True
    """Whether another machine, or another user, may not have it."""


def preflight(plan: Plan, local: bool, here: bool) -> None:
    """Raises RunError with every fault at once.  `local`: the run works without Ray; `here`: on
    this machine, with or without.
    """
    found = [f"{place_name(o.key)}: {o.what}" for o in place_obstacles(plan)]
    found += [o.what for o in gpu_obstacles(plan)] if local else ()
    found += [o.what for o in memory_obstacles(plan)] if here else ()
    if found:
        raise RunError("; ".join(found))


def look_for_memory(plan: Plan, ask: bool) -> None:
    """Raises RunError where models do not fit into the memory of this machine."""
    if found := [o.what for o in memory_obstacles(plan, ask)]:
        raise RunError("; ".join(found))


def obstacles(plan: Plan, address: str | None) -> list[Obstacle]:
    """What would stop a run that begins now, on the Ray at an address or, if None, here; starts
    nothing.
    """
    found = list(place_obstacles(plan))
    if address is not None:
        return [*found, *cluster_obstacles(plan, address)]
    return [*found, *gpu_obstacles(plan), *memory_obstacles(plan)]


def place_name(key: Key) -> str:
    """What an output or the workspace is called in a message."""
    return f"output {int(key[1]) + 1}" if key[0] == "outputs" else str(key[0])


def place_obstacles(plan: Plan) -> Iterator[Obstacle]:
    """Places that cannot be written to, or where a file is."""
    places: dict[Key, str] = {("workspace",): plan.config.workspace}
    places |= {("outputs", i, "path"): w.config.path for i, w in enumerate(plan.writers)}
    for key, path in places.items():
        if (why := unusable(path)) is not None:
            yield Obstacle(key, why, elsewhere=not why.endswith(NO_FOLDER))


def unusable(path: str) -> str | None:
    """Why no file can be written below a local folder, or None; other stores are asked when they
    are opened.
    """
    parts = urlsplit(path)
    if parts.scheme not in ("", "file"):
        return None
    folder = os.path.abspath(os.path.expanduser(parts.path if parts.scheme else path))
    if os.path.exists(folder) and not os.path.isdir(folder):
        return f"{folder} is a file; {NO_FOLDER}"
    if (why := too_long(folder)) is not None:
        return why
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if os.path.islink(folder) and not os.path.exists(folder):
        return f"{folder} is a link that leads nowhere; {NO_FOLDER}"
    if not os.path.isdir(folder):
        return f"{folder}, in which it would lie, is a file; {NO_FOLDER}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return (
            f"{folder} cannot be written to by this user; choose another path, or change its rights"
        )
    return None


def too_long(folder: str) -> str | None:
    """Why this machine takes no such name of a folder with files of ours below it, or None."""
    longest, whole = (os.pathconf("/", name) for name in ("PC_NAME_MAX", "PC_PATH_MAX"))
    at_all = len(os.fsencode(folder)) + BELOW_BYTES > whole
    if at_all or any(len(os.fsencode(step)) > longest for step in folder.split("/")):
        return f"{folder[:100]}… is too long a path for this machine; {NO_FOLDER} with a short one"
    return None


def gpu_obstacles(plan: Plan) -> Iterator[Obstacle]:
    """Stages that ask for more GPUs than torch sees on this machine."""
    asking = [(key, s) for key, s in with_places(plan.stages) if s.config.resources.gpus]
    if not asking:
        return
    there = gpus_here()
    for key, stage in asking:
        resources = stage.config.resources
        least, _ = resources.bounds() or (1, 1)
        if least * resources.gpus > there:
            times = f"{least} times " if least > 1 else ""
            yield Obstacle(
                (*key, "resources"),
                f"stage {stage.name!r} asks for {times}{resources.gpus:g} GPU, and torch "
                f"sees {there} on this machine; take `resources.gpus` away, or run on a cluster "
                "that has them",
            )


def gpus_here() -> int:
    """GPUs that torch sees, which is asked only where a driver of one is: it takes two seconds to
    import.
    """
    if not any(glob.glob(sign) for sign in DRIVERS):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def cluster_obstacles(plan: Plan, address: str) -> Iterator[Obstacle]:
    """Stages that ask for GPUs which no node of a cluster has, or that it does not answer."""
    from pairmill.cluster.asked import gpus_lacking

    phases = [stages[a:b] for stages in every_table(plan) for a, b in phases_of(stages)]
    asking = [phase for phase in phases if any(s.config.resources.gpus for s in phase)]
    for what in gpus_lacking(address, asking) if asking else ():
        yield Obstacle(("stages",), what)


def every_table(plan: Plan) -> list[Sequence[PlannedStage]]:
    """The stages of the source's rows, and of each block's elements."""
    return [plan.stages, *(block.stages for block in blocks_of(plan.stages).values())]


def memory_obstacles(plan: Plan, ask: bool = False) -> Iterator[Obstacle]:
    """Models that this machine has no memory for: those of stages that one worker holds together
    and of which no values are stored, as a run that finds its values loads no model.  `ask`: the
    hub, about weights that are yet to be fetched.
    """
    models = [s for s in every_stage(plan.stages) if s.stage.shares() is not None]
    if not models:
        return
    new = set(map(id, unseen(Storage(plan.config.workspace), models)))
    keys = {id(stage): key for key, stage in with_places(plan.stages)}
    for stages in every_table(plan):
        for first, last in phases_of(stages):
            loaded = [stage for stage in stages[first:last] if id(stage) in new]
            for stage, what in too_large(loaded, ask):
                yield Obstacle((*keys[id(stage)], "model"), what)


def unseen(storage: Storage, stages: Iterable[PlannedStage]) -> list[PlannedStage]:
    """The stages of which no values are stored."""
    return [
        stage
        for stage in stages
        if not (stage.computes and storage.exists(f"columns/{stage.column_set}/stage.json"))
    ]


def too_large(stages: Sequence[PlannedStage], ask: bool) -> Iterator[tuple[PlannedStage, str]]:
    """The stage of a phase whose model does not fit beside those before it, and why."""
    shared = {loads: stage for stage in stages if (loads := stage.stage.shares()) is not None}
    if not shared:
        return
    from pairmill.models.load import Spec
    from pairmill.models.room import free_of_gpus, weight_bytes

    wanted = {loads: stage for loads, stage in shared.items() if isinstance(loads, Spec)}
    sizes = {spec: size for spec in wanted if (size := weight_bytes(spec, ask)) is not None}
    gpus = free_of_gpus() if any(spec.device != "cpu" for spec in sizes) else []
    for kind, on_gpu, free in (("memory", False, free_memory()), ("GPU memory", True, sum(gpus))):
        mine = [spec for spec in sizes if (spec.device != "cpu" and bool(gpus)) is on_gpu]
        if not mine or free is None or sum(sizes[spec] for spec in mine) <= free:
            continue
        models = " and ".join(f"{spec.model} ({gigabytes(sizes[spec])})" for spec in mine)
        names = " and ".join(repr(wanted[spec].name) for spec in mine)
        yield (
            wanted[mine[-1]],
            f"{'stage' if len(mine) == 1 else 'stages'} {names}: the weights of {models} do not "
            f"fit into the {kind} of this machine, of which {gigabytes(free)} are free; take a "
            "smaller or a quantised model, free memory, or ask a cluster or a server",
        )


def gigabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:,.1f} GB"
