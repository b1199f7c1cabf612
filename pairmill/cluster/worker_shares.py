"""What each worker of a phase asks of the cluster, so that Ray neither overcommits nor waits for
ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pairmill.cluster.memory import in_flight, shard_bytes, worker_bytes
from pairmill.errors import RunError
from pairmill.plan.chain import PlannedStage
from pairmill.work.block import Job
from pairmill.work.crew_size import LOADING, PROCESS_BYTES, pooled

SLACK = 1e-6
"""Of a GPU, by which shares that fill it may be off."""


def cpus_of(stage: PlannedStage) -> float:
    """Cores of one worker of a stage."""
    return float(stage.config.resources.cpus or stage.stage.cpus)


def asked_of(options: Mapping[str, Any]) -> dict[str, float]:
    """Resources by the names that nodes have for them, from options of Ray."""
    named = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    return {name: options[option] for name, option in named.items() if options.get(option)}


class WorkerShares:
    """What each worker asks of the cluster.

    Actors' cores and all workers' memory are scaled to half of what the cluster has, so that the
    least number of actors leaves room for tasks.  Memory that the user named is not scaled.  They
    are made for some nodes; a phase that stands still because these are gone starts anew with
    others (phase_guard.py).
    """

    def __init__(self, job: Job, nodes: list[dict[str, float]], names: Iterable[str] = ()) -> None:
        self.nodes = frozenset(names)
        """Ids of the nodes that they are made for."""
        self.total = sum(n.get("CPU", 0) for n in nodes)
        self.memory = sum(n.get("memory", 0) for n in nodes)
        self.store = sum(n.get("object_store_memory", 0) for n in nodes)
        self.block = shard_bytes(job.chain, job.first, job.last)
        self.cpu_scale = min(1.0, self.total / (2 * cpus_needed(job.stages())))
        wanted = in_flight(job.chain, job.first, job.last)
        self.memory_scale = min(1.0, self.memory / 2 / wanted) if wanted else 1.0
        self.largest = max((n.get("memory", 0) for n in nodes), default=0)
        for stage in job.stages():
            self.check(stage, nodes)
        check_gpus(job.stages(), [node.get("GPU", 0) for node in nodes])

    def options(self, stage: PlannedStage) -> dict[str, Any]:
        """What one worker of a stage asks of the cluster."""
        resources = stage.config.resources
        derived = min(worker_bytes(stage, self.block) * self.memory_scale, self.largest / 2)
        gpus = {"num_gpus": resources.gpus} if resources.gpus else {}
        return {
            "num_cpus": cpus_of(stage) * self.cpu_scale,
            "memory": resources.memory_bytes() or int(derived),
            **gpus,
        }

    def together(self, stages: Sequence[PlannedStage]) -> dict[str, Any]:
        """For stages that one task runs one after another."""
        every = [self.options(s) for s in stages]
        return {name: max(o[name] for o in every) for name in ("num_cpus", "memory")}

    def check(self, stage: PlannedStage, nodes: list[dict[str, float]]) -> None:
        """Raises RunError where no single node holds one worker of the stage: Ray would wait for
        such a node for ever.
        """
        needs = asked_of(self.options(stage))
        if not any(
            all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes
        ):
            words = ", ".join(
                f"{a / 1e9:.1f} GB" if n == "memory" else f"{a:g} {n}"
                for n, a in needs.items()
                if a
            )
            most = ", ".join(f"{max(n.get(k, 0) for n in nodes):g} {k}" for k in ("CPU", "GPU"))
            raise RunError(
                f"stage {stage.name!r}: no node holds one of its workers ({words}); the "
                f"largest have {most} and {self.largest / 1e9:.1f} GB; "
                "lower `resources`, or add a node"
            )

    def tasks(self, share: float = 1) -> int:
        """At most so many tasks of an operator at once, per core: scaled shares would allow more,
        each in a new process.
        """
        return max(1, int(self.total * share))

    def workers(self, stage: PlannedStage) -> tuple[int, int]:
        """(least, most) actors of a stage; copies of a model that nobody asked for fit in half of
        the nodes' memory.
        """
        if bounds := stage.config.resources.bounds():
            return bounds
        most = int(self.total / max(cpus_of(stage), 1) / 2)
        loaded = 0 if stage.config.resources.gpus else stage.stage.loads_bytes()
        if loaded:
            most = min(most, int(self.memory / 2 / (PROCESS_BYTES + LOADING * loaded)))
        return 1, max(1, most)

    def cores(self, stage: PlannedStage, parts: Sequence[Sequence[PlannedStage]]) -> int:
        """Cores that an actor of a stage may use: the share of two, since its pool takes half of
        the cluster; its own where the user said how many there be, or another pool that does not
        mostly wait has the other half.
        """
        busy = [part[0] for part in parts if pooled(part[0]) and not part[0].stage.waits()]
        shared = any(other is not stage for other in busy)
        own = 1 if shared or stage.config.resources.bounds() else 2
        return int(own * max(cpus_of(stage), 1))


def check_gpus(stages: Sequence[PlannedStage], gpus: list[float]) -> None:
    """Raises RunError where the workers that a phase's stages want at least do not find GPUs beside
    one another; `gpus`: those of each node.
    """
    left = list(gpus)
    wanted = [stage for stage in stages if stage.config.resources.gpus]
    for stage in sorted(wanted, key=lambda s: -s.config.resources.gpus):
        each = stage.config.resources.gpus
        # a GPU holds whole workers
        share = each if each >= 1 else 1 / int(1 / each)
        least, _ = stage.config.resources.bounds() or (1, 1)
        for worker in range(least):
            node = max(range(len(left)), key=left.__getitem__, default=None)
            if node is None or left[node] + SLACK < share:
                others = [s.name for s in wanted if s is not stage]
                beside = f" beside {', '.join(others)}" if others else ""
                raise RunError(
                    f"stage {stage.name!r} asks for at least {least} workers with {each:g} GPU "
                    f"each{beside}, and the cluster's nodes, with {sum(gpus):g} GPUs together, "
                    f"hold {worker}; write `replicas: [{max(1, worker)}, {least}]`, or add a node"
                )
            left[node] -= share


def cpus_needed(stages: tuple[PlannedStage, ...]) -> float:
    """Cores with which all actor pools of a phase can run at once, beside the tasks."""
    pools = sum(
        cpus_of(s) * (s.config.resources.bounds() or (1, 1))[0] for s in stages if pooled(s)
    )
    return pools + max([1.0, *(cpus_of(s) for s in stages if not pooled(s))])
