"""Worker processes of a run on one machine: as many as there are cores, started when there is work
for them, and again where one dies.

The driver hands out items one by one.  What a process held when it died is given to the one that
takes its place; the board's claims (work/claims.py) tell it what that died of, so that a deadly row
is found and fails, as on Ray.
"""

import contextlib
import itertools
import pickle
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pairmill import errors
from pairmill.errors import RunError
from pairmill.work.board import RunBoard
from pairmill.work.crew_process import CrewProcess, ended_by
from pairmill.work.crew_size import cores, devices
from pairmill.work.loaded import HALT_S
from pairmill.work.starting import Starter, drop_early, starter

Item = TypeVar("Item")
T = TypeVar("T")
IDLE_DEATHS = 5
"""Processes that may end at an item while they claim nothing of it, before the run stops: a death
is claimed from the second attempt at a batch on, so more are none of a row's.
"""
PATIENCE_S = 1.0
"""As long as another process takes to be of use."""


@dataclass
class Seat:
    """A place in the crew: the process that has it now, and the items that it holds, by ticket."""

    process: CrewProcess
    held: dict[int, Any] = field(default_factory=dict)


class Crew:
    """The worker processes of a run.  `paths`: folders in which they find modules, besides;
    `patience_s`: how long one process alone is at little work, once it is ready.
    """

    def __init__(self, paths: Sequence[str], patience_s: float = PATIENCE_S) -> None:
        self.paths, self.patience_s = paths, patience_s
        self.board, self.asking = RunBoard(), threading.Lock()
        self.events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.seats: list[Seat] = []
        self.starter: Starter | None = None
        self.threads = 1
        self.gpus = 0
        """GPUs of each process, where there are several processes."""
        self.numbers, self.tickets = itertools.count(), itertools.count()
        self.deaths: dict[int, int] = {}
        """Ticket → deaths of its processes that no claim explains."""

    def run(
        self,
        work: Callable[[Item], T] | Any,
        items: "Sequence[Item] | deque[Item]",
        count: int,
        width: int = 1,
        little: bool = False,
    ) -> Generator[tuple[Item, T]]:
        """Each item with what `work` gives, as they come, from `count` processes that do `width`
        items at a time; a deque may get more items meanwhile.  They begin at once, before the first
        result is asked for.  `little`: the first process may be done with all of it before another
        has imported what it needs.  Raises RunError, and what `pickle` raises.
        """
        packed = pickle.dumps(work)
        if threading.current_thread() is threading.main_thread():
            # polars lets a wait go on after Ctrl-C, which then comes when the next shard is done
            signal.siginterrupt(signal.SIGINT, True)
        waiting: deque[Item] = items if isinstance(items, deque) else deque(items)
        if waiting is not items:
            count = max(1, min(count, len(items)))
        ready = bool(self.seats)
        self.settle(max(1, min(count, len(self.seats))) if little else count, count)
        job = next(self.numbers)
        opening = ("job", job, packed, width, count == 1, cores() // count)
        working = self.seats[:count]
        for seat in working:
            seat.process.send(*opening)
        self.fill_in_turn(working, job, waiting, width)
        results = self.results(opening, working, waiting, count, ready)
        next(results)  # from now on `close` ends the processes
        return results

    def results(
        self,
        opening: tuple[Any, ...],
        working: list[Seat],
        waiting: "deque[Any]",
        count: int,
        ready: bool,
    ) -> Generator[Any]:
        """What the processes that have begun with a job give, as it comes; first, None.  Once one
        is `ready`, others join up to `count` where it takes long.
        """
        _, job, _, width, *_ = opening
        try:
            yield None
            while True:
                self.fill_in_turn(working, job, waiting, width)
                if not any(seat.held for seat in working):
                    break
                others = ready and waiting and len(working) < count
                try:
                    process, kind, *told = self.events.get(
                        timeout=self.patience_s if others else None
                    )
                except queue.Empty:
                    self.settle(len(working) + 1, count)
                    working.append(self.seats[len(working)])
                    working[-1].process.send(*opening)
                    continue
                at = next((i for i, s in enumerate(working) if s.process is process), None)
                if at is None:  # the last word of a process that has been replaced
                    continue
                seat = working[at]
                if kind in ("done", "failed") and told[0] not in seat.held:
                    continue  # nobody waits for it
                ready |= kind == "ready"
                if kind == "done":
                    item = seat.held.pop(told[0])
                    self.fill(seat, job, waiting, width)
                    yield item, told[1]
                elif kind == "failed":
                    raise told_error(*told[1:])
                elif kind == "died":
                    self.replace(seat, opening, told[0])
        except BaseException:
            self.close()
            raise
        self.end(job, working)

    def begin(self, work: Callable[[Any], Any], item: Any) -> None:
        """Has the first process begin with work of which nobody waits for the end: what it imports
        and remembers is there when it is asked for the same.
        """
        self.settle(max(1, len(self.seats)))
        first, job = self.seats[0].process, next(self.numbers)
        first.send("job", job, pickle.dumps(work), 1, False, cores())
        first.send("item", job, next(self.tickets), item)
        first.send("end", job)

    def fill_in_turn(
        self, working: Sequence[Seat], job: int, waiting: "deque[Any]", width: int
    ) -> None:
        """Gives processes as much as they do at a time, one each in turn: few items are for all."""
        for held in range(1, width + 1):
            for seat in working:
                self.fill(seat, job, waiting, held)

    def fill(self, seat: Seat, job: int, waiting: "deque[Any]", width: int) -> None:
        """Gives a process as much as it does at a time."""
        while waiting and len(seat.held) < width:
            ticket, item = next(self.tickets), waiting.popleft()
            seat.held[ticket] = item
            seat.process.send("item", job, ticket, item)

    def settle(self, count: int, most: int | None = None) -> None:
        """Starts processes that are not there yet.  `most`: how many there may come to be, for each
        one's share of cores.
        """
        self.threads = max(1, cores() // (most or count))
        for number, seat in enumerate(self.seats):
            if seat.process.process.poll() is not None:
                seat.process = self.start(number)
        while len(self.seats) < count:
            self.seats.append(Seat(self.start(len(self.seats))))

    def start(self, number: int) -> CrewProcess:
        """A new process for a seat, with its share of cores and GPUs."""
        settings, there = {"POLARS_MAX_THREADS": str(self.threads)}, devices()
        if self.gpus and len(there) > self.gpus:
            first = number * self.gpus % len(there)
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(there[first : first + self.gpus])
        starts, paths = self.foreseen(), self.found_in()
        return CrewProcess(starts, paths, settings, self.board, self.asking, self.events)

    def foreseen(self) -> Starter:
        """What starts processes, begun where it is not there: it takes a second to import what they
        need, and none of this process's time.
        """
        if self.starter is not None and not self.starter.alive:
            self.starter.close()
            self.starter = None
        if self.starter is None:
            self.starter = starter(self.found_in())
        return self.starter

    def found_in(self) -> list[str]:
        """Folders in which processes find modules."""
        return list(dict.fromkeys([*self.paths, *filter(None, sys.path)]))

    def replace(self, seat: Seat, opening: tuple[Any, ...], code: int) -> None:
        """Another process takes the place of one that died, and what that held."""
        with self.asking:
            claimed = bool(self.board.claims.at) or any(
                past.hung for past in self.board.claims.open.values()
            )
        for ticket in seat.held:
            self.deaths[ticket] = 0 if claimed else self.deaths.get(ticket, 0) + 1
            if self.deaths[ticket] > IDLE_DEATHS:
                raise RunError(
                    f"worker processes end at {seat.held[ticket]} without a stage's doing "
                    f"({self.deaths[ticket]} times, by {ended_by(code)}); is there enough memory, "
                    "and does the stages' code load in a process by itself?"
                )
        seat.process = self.start(self.seats.index(seat))
        seat.process.send(*opening)
        for ticket, item in seat.held.items():
            seat.process.send("item", opening[1], ticket, item)

    def end(self, job: int, working: Sequence[Seat]) -> None:
        """Waits until the processes have given back what the work took."""
        for seat in working:
            seat.process.send("end", job)
        left = {id(seat.process) for seat in working}
        while left:
            process, kind, *told = self.events.get()
            if kind == "died" or (kind == "ended" and told[0] == job):
                left.discard(id(process))

    def halt(self) -> None:
        """Has processes that are at work store what was answered, which may be paid."""
        there = [s.process for s in self.seats if s.held and s.process.process.poll() is None]
        left = set(map(id, there))
        for process in there:
            process.send("halt")
        until = time.monotonic() + HALT_S
        with contextlib.suppress(queue.Empty):
            while left:
                process, kind, *_ = self.events.get(timeout=max(0.0, until - time.monotonic()))
                if kind in ("halted", "died"):
                    left.discard(id(process))

    def close(self) -> None:
        """Ends the processes, once what they were asked for and have is stored."""
        try:
            self.halt()
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the processes at once."""
        for seat in self.seats:
            seat.process.kill()
        self.seats = []
        if self.starter is not None:
            self.starter.close()
            self.starter = None
        drop_early()


def told_error(kind: str, text: str) -> RunError:
    """The error that a process told of."""
    made = getattr(errors, kind, RunError)
    error = made.__new__(made)
    Exception.__init__(error, text)
    return error if isinstance(error, RunError) else RunError(text)
