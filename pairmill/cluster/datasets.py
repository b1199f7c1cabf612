"""Ray Data, as stages over all rows use it for shuffles: how it is told to behave, and what its
executions are looked at for.  Phases of map stages do without it (flow.py).
"""

import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa

from pairmill.cluster.phase_guard import Progress
from pairmill.cluster.session import own_errors

PLAIN: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
STEP_S = 1.0
NUMBERS = itertools.count()
GUARDS: dict[int, Progress] = {}
"""Of the executions that this process drives; Ray Data makes its callbacks itself."""


def set_context(ray: Any) -> None:
    """Ray Data keeps blocks as they are, and prints nothing."""
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = None  # a block stays a block: the shard
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.verbose_progress = False
    context.custom_execution_callback_classes = []
    # a shard may take its stage hours; what hangs has a deadline of its own
    context.execution_no_progress_timeout_s = -1
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def batches(data: Any, guard: Progress) -> Iterator[pa.Table]:
    """What a dataset gives, as it comes.  Raises RunError."""
    with guarded(data, guard), own_errors():
        yield from data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


class GuardCallback:
    """What Ray Data calls at each step of an execution."""

    def __init__(self, number: int) -> None:
        self.number, self.next_step = number, 0.0

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to do."""

    def on_execution_step(self, executor: Any) -> None:
        """Looks, now and then; what it raises ends the execution."""
        guard, now = GUARDS.get(self.number), time.monotonic()
        if guard is None or now < self.next_step:
            return
        self.next_step = now + STEP_S
        seen = [op.metrics for op in executor._topology]
        guard.observe([(m.num_tasks_finished, m.num_outputs_taken) for m in seen], now)

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to do."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to do."""


@contextmanager
def guarded(data: Any, guard: Progress) -> Iterator[None]:
    """Executions of a dataset are looked at, and end where the guard says so; an older Ray does
    not ask it.
    """
    number = next(NUMBERS)
    GUARDS[number] = guard
    if hasattr(data.context, "custom_execution_callback_classes"):
        data.context.custom_execution_callback_classes = [partial(GuardCallback, number)]
    try:
        yield
    finally:
        GUARDS.pop(number)
