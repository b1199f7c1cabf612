"""Runs in a process that was forked from one in which a run had begun."""

import os

from pairmill.errors import RunError

FIRST: list[int] = []
"""The process in which the first run began."""


def check_process() -> None:
    """Raises RunError where a run would wait for threads of Polars and Arrow, which do not come
    along with a fork, without end.
    """
    if not FIRST:
        FIRST.append(os.getpid())
    elif FIRST[0] != os.getpid():
        raise RunError(
            f"this process was forked from process {FIRST[0]}, in which a run had begun: what that "
            "run's libraries need is not there, and this one would wait without end. Start it in a "
            "process of its own, such as multiprocessing.get_context('spawn') makes, or fork "
            "before the first run"
        )
