"""Ray as a run uses it: started when it is needed, or the caller's own; what its errors say."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pairmill import errors
from pairmill.cluster.nodes import check_nodes
from pairmill.cluster.own_ray import (
    on_this_machine_alone,
    own_options,
    read_variables_again,
    worker_environment,
)
from pairmill.cluster.reaching import WAIT_S, check_answers
from pairmill.cluster.run_actor import start_run_actor
from pairmill.cluster.waiting import ClusterWatch, cluster_state
from pairmill.cluster.worker_start import HOOK
from pairmill.errors import PairmillError, RunError, first_line
from pairmill.work.costs import Sums
from pairmill.work.messages import Message, Notice, WorkerLog

OWN_ERROR = re.compile(r"^pairmill\.errors\.(\w+): (.+)$", re.MULTILINE)
ANY_ERROR = re.compile(r"^(?!ray\.)[\w.]*(?:Error|Exception): .+$", re.MULTILINE)


@dataclass
class RaySession:
    """Ray, started when the first phase needs it; one that the caller started is used and left
    running.
    """

    paths: list[str]
    started: bool = False
    progress: Any = None
    run_id: str = ""
    places: tuple[str, ...] = ()
    """Folders that every node must reach."""
    watch: ClusterWatch | None = None
    notices: list[Message] = field(default_factory=list)

    def ensure(self) -> Any:
        """Ray, started unless it runs, with the run's actor."""
        quiet_ray()
        import ray

        if not ray.is_initialized():
            options: dict[str, Any] = {
                "log_to_driver": False,
                "logging_level": logging.ERROR,
                "configure_logging": True,
            }
            own: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
            if address := os.environ.get("RAY_ADDRESS"):
                check_answers(address, WAIT_S)
                options["runtime_env"] = {
                    "env_vars": worker_environment(self.paths),
                    "worker_process_setup_hook": HOOK,
                }
            else:
                options |= own_options()
                own = on_this_machine_alone(self.paths)
            with interrupt_later(), own:
                ray.init(**options)
                self.started = True
        if self.progress is None:
            check_nodes(ray, self.places)
            self.progress = start_run_actor(self.run_id)
            head = ray.get_runtime_context().gcs_address
            self.watch = ClusterWatch(partial(cluster_state, head), self.tell)
            self.watch.thread.start()
        return ray

    def tell(self, text: str) -> None:
        """A line for people and for the run's log, of the cluster that the run works on."""
        logging.getLogger("pairmill").warning(text)
        self.notices.append(Notice(text))

    def watched(self) -> ClusterWatch:
        """What looks at the cluster, once Ray runs."""
        assert self.watch is not None
        return self.watch

    def moved(self) -> None:
        """Some work of the run got done."""
        if self.watch is not None:
            self.watch.moves += 1

    def is_elsewhere(self) -> bool:
        """Whether Ray runs already, on this or on other machines: it need not be started."""
        ray = sys.modules.get("ray")
        return bool(os.environ.get("RAY_ADDRESS")) or (ray is not None and ray.is_initialized())

    def news(self) -> list[Message]:
        """What workers told since the last call; empty where the session does not answer: the
        summaries of shards tell the rest.
        """
        if self.progress is None:
            return []
        import ray

        notices = [self.notices.pop(0) for _ in range(len(self.notices))]
        try:
            messages: list[Message] = ray.get(self.progress.fetch.remote(), timeout=5)
        except Exception:  # the session is closing, or its actor starts again
            return notices
        if messages:
            self.moved()
        return [*notices, *messages]

    def spent(self) -> Sums:
        """What workers told of the cost of stored answers; nothing where the actor is gone."""
        if self.progress is None:
            return {}
        import ray

        try:
            return dict(ray.get(self.progress.spent.remote(), timeout=5))
        except Exception:  # the session is closing
            return {}

    def close(self) -> None:
        """Ends the run's actor, and Ray if it was started here."""
        if self.progress is not None:
            import ray

            for message in self.news():
                if isinstance(message, WorkerLog):
                    message.write()
            with contextlib.suppress(Exception):  # the session may be gone already
                ray.kill(self.progress)
            self.progress = None
            if self.watch is not None:
                self.watch.close()
                self.watch = None
            if self.started:
                ray.shutdown()
                read_variables_again()  # a Ray that the caller starts later has no token of ours


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """A signal to end waits for the end of the block, the second one does not: Ray's start can end
    the process without a word.  What Ray does with signals is undone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in ENDING}
    mine = [n for n, handler in usual.items() if callable(handler)]
    pressed: list[int] = []

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    for number in mine:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, usual[number])
    if pressed:
        usual[signal.Signals(pressed[0])](pressed[0], None)  # type: ignore[operator, misc]


def quiet_ray() -> None:
    """Ray and its libraries print less: who lost a worker takes note of it here."""
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@contextlib.contextmanager
def own_errors() -> Iterator[None]:
    """What Ray raises is raised as RunError, in pairmill's words."""
    try:
        yield
    except Exception as error:
        if isinstance(error, PairmillError) and not is_from_worker(error):
            raise
        raise own_error(error) from error


def is_from_worker(error: Exception) -> bool:
    """Whether an error comes from a worker: it is then of both classes, its own and Ray's, and its
    text is a traceback.
    """
    from ray.exceptions import RayTaskError

    return isinstance(error, RayTaskError)


def own_error(error: BaseException) -> RunError:
    """The pairmill error inside Ray's wrappers, or the first line of what else went wrong.

    Where a worker's exception came as text alone, it is read off the traceback.
    """
    seen: BaseException | None = error
    texts: list[str] = []
    while seen is not None and len(texts) < 10:
        for own in (getattr(seen, "cause", None), seen):
            if isinstance(own, RunError):
                return own
        texts.append(str(seen))
        seen = getattr(seen, "cause", None) or seen.__cause__ or seen.__context__
    text = "\n".join(texts)
    if told := OWN_ERROR.search(text):
        kind = getattr(errors, told.group(1))
        found = kind.__new__(kind)
        Exception.__init__(found, told.group(2))
        return found if isinstance(found, RunError) else RunError(told.group(2))
    other = ANY_ERROR.search(text)
    return RunError(other.group(0) if other else f"{type(error).__name__}: {first_line(error)}")
