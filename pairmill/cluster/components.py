"""Components of what the partitions of a stage over all rows connect: by SciPy in the driver where
the pairs are few enough for that, in tasks on the cluster beyond.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill.cluster.datasets import guarded
from pairmill.cluster.over_shards import RETRIES
from pairmill.cluster.phase_guard import Progress
from pairmill.cluster.session import RaySession, own_errors
from pairmill.cluster.worker_start import safe_errors
from pairmill.work.far_components import Part, far_components, near_components
from pairmill.work.linking import with_components

PAIRS_AT_ONCE = 1 << 24
"""Pairs that the driver connects by itself: 270 MB of them, and a gigabyte while SciPy works."""
PARTS_PER_LIMIT = 4
"""Parts of as many pairs as the driver would take."""


@dataclass(frozen=True)
class Components:
    """Where the component of each row stands: parts of those rows that stand in pairs, each by
    reference, of `total` places of the pool.
    """

    parts: tuple[Any, ...]
    total: int

    def of(self, rows: pa.Table) -> pa.Table:
        """In a worker of Ray: rows beside their components; it fetches the parts that these stand
        in, which are neighbours where the rows are.
        """
        import ray

        count = len(self.parts)
        return with_components(rows, count, self.total, lambda at: ray.get(self.parts[at]))


@dataclass
class TaskHands:
    """Does steps in tasks; a task whose process or node dies is done again."""

    session: RaySession

    def each(
        self, work: Callable[..., list[Any]], arguments: Sequence[Sequence[Any]], results: int
    ) -> list[list[Part]]:
        """A task for each; the results stay where they were made."""
        ray = self.session.ensure()
        task = ray.remote(safe_errors(work if results > 1 else Single(work))).options(
            num_cpus=1, num_returns=results, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )
        made = [task.remote(*given) for given in arguments]
        return made if results > 1 else [[one] for one in made]

    def value(self, part: Part) -> Any:
        """Waits for it.  Raises RunError."""
        ray = self.session.ensure()
        with own_errors():
            result = ray.get(part)
        self.session.moved()
        return result


class Single:
    """Work whose only result is no list."""

    def __init__(self, work: Callable[..., list[Any]]) -> None:
        self.work = work
        self.__name__ = work.__name__

    def __call__(self, *given: Any) -> Any:
        return self.work(*given)[0]


def components(session: RaySession, pairs: Any, total: int, at_once: int) -> Components:
    """What a dataset of pairs of rows (`one`, `two`) connects.  `at_once`: pairs that the driver
    connects by itself.  Raises RunError.
    """
    ray = session.ensure()
    with guarded(pairs, Progress(session.watched())), own_errors():
        stored = pairs.materialize()
        count, blocks = stored.count(), stored.to_arrow_refs()
    if count <= at_once:
        with own_errors():
            near = near_components(ray.get(block) for block in blocks)
        return Components((ray.put(near),), total)
    number = max(2, math.ceil(PARTS_PER_LIMIT * count / max(1, at_once)))
    parts = [blocks[part::number] for part in range(number)]
    found, _ = far_components(parts, total, TaskHands(session))
    return Components(tuple(found), total)
