"""A worker process of a run on one machine: what it does with what the driver sends.

Messages are pickled tuples over one socket.  From the driver: `job` (number, work, threads, whether
it is alone, cores), `item` (job, ticket, item), `end` (job), `halt`, `answer` (question, value).
To the driver: `ready`, `done` (ticket, value), `failed` (ticket, kind, text), `ended` (job),
`halted`, `ask` (question, method, arguments), `tell` (method, arguments).
"""

import contextlib
import itertools
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from pairmill.errors import PairmillError, first_line, kind_of
from pairmill.plan.named_modules import as_told
from pairmill.safe_output import redact_streams
from pairmill.torch_device import CORES
from pairmill.work.ahead import give_back
from pairmill.work.claims import Past, Task, WorkPlace
from pairmill.work.deadline import ProcessWatchdog
from pairmill.work.line import Line
from pairmill.work.messages import Message

ORPHANED = 71
"""Exit code of a process whose driver is gone."""


class MemberLine(Line):
    """A member's line to the run.  `alone`: no other process asks the same hosts."""

    def __init__(self, member: "CrewMember", alone: bool) -> None:
        self.member = member
        if not alone:
            self.ask = self.share

    def share(self, worker: str, limit: int, in_flight: dict[str, int]) -> Any:
        """A worker's share of each host's connections."""
        return self.member.ask("share", worker, limit, in_flight)

    def report(self, message: Message) -> None:
        """Sends it, without waiting."""
        self.member.send("tell", "add", (message,))

    def begin(self, place: WorkPlace) -> Past:
        """An attempt at a place starts."""
        past: Past = self.member.ask("begin", place)
        return past

    def claim(self, place: WorkPlace, task: Task) -> None:
        """What follows may take the process down."""
        self.member.ask("claim", place, task)

    def hang(self, place: WorkPlace, task: Task) -> None:
        """A call has outlived its deadline."""
        self.member.ask("hang", place, task)

    def spare(self, place: WorkPlace) -> None:
        """What was claimed is done."""
        self.member.ask("spare", place)

    def end(self, place: WorkPlace) -> None:
        """The place is done."""
        self.member.send("tell", "end", (place,))


class CrewMember:
    """The process's end of the socket."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sending = threading.Lock()
        self.questions = itertools.count()
        self.answers: dict[int, queue.SimpleQueue[Any]] = {}
        self.jobs: dict[int, MemberJob] = {}
        self.watchdog = ProcessWatchdog()

    def send(self, *message: Any) -> None:
        """Ends the process where the driver is gone."""
        data = pickle.dumps(message)
        try:
            with self.sending:
                self.connection.send_bytes(data)
        except OSError:
            os._exit(ORPHANED)

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the run's board answers."""
        question = next(self.questions)
        box = self.answers[question] = queue.SimpleQueue()
        self.send("ask", question, method, arguments)
        return box.get()

    def serve(self) -> None:
        """Works until the driver is gone."""
        self.send("ready")
        while True:
            try:
                message = pickle.loads(self.connection.recv_bytes())
            except (OSError, EOFError):
                os._exit(ORPHANED)
            match message:
                case "answer", question, value:
                    self.answers.pop(question).put(value)
                case "job", number, work, threads, alone, cores:
                    os.environ[CORES] = str(cores)
                    self.jobs[number] = MemberJob(self, number, work, threads, alone)
                case "item", number, ticket, item:
                    self.jobs[number].items.put((ticket, item))
                case "end", number:
                    self.jobs.pop(number).items.put(None)
                case ("halt",):
                    threading.Thread(target=self.halt, daemon=True, name="halt").start()

    def halt(self) -> None:
        """Has stored what was answered: the process is about to be ended."""
        for job in list(self.jobs.values()):
            if (halt := getattr(job.call, "halt", None)) is not None:
                halt()
        self.send("halted")


class MemberJob:
    """One piece of work, done by some threads; the first of them loads it."""

    def __init__(
        self, member: CrewMember, number: int, work: bytes, threads: int, alone: bool
    ) -> None:
        self.member, self.number, self.work = member, number, work
        self.line = MemberLine(member, alone)
        self.items: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self.loading = threading.Lock()
        self.call: Any = None
        self.left = threads
        for _ in range(threads):
            threading.Thread(target=self.work_off, daemon=True, name="work").start()

    def take(self) -> Any:
        """The work, unpacked and begun once."""
        with self.loading:
            if self.call is None:
                work = pickle.loads(self.work)
                begin = getattr(work, "begin", None)
                self.call = work if begin is None else begin(self.line, self.member.watchdog)
            return self.call

    def work_off(self) -> None:
        """What each thread does; the last one to end closes the work."""
        while (asked := self.items.get()) is not None:
            ticket, item = asked
            try:
                self.member.send("done", ticket, self.take()(item))
            except BaseException as error:  # a stage, or its module, may raise anything
                own = isinstance(error, PairmillError)
                if not own:
                    log_trace()
                text = str(error) if own else f"{kind_of(error)}: {first_line(error)}"
                kind = type(error).__name__ if own else "RunError"
                self.member.send("failed", ticket, kind, text)
        with self.loading:
            self.left -= 1
            last = not self.left
        if not last:
            self.items.put(None)
            return
        try:
            if (close := getattr(self.call, "close", None)) is not None:
                close()
        except BaseException:  # what was computed is stored
            log_trace()
        self.call = None
        give_back()  # what follows may be the driver's, which needs the memory
        self.member.send("ended", self.number)


def log_trace() -> None:
    """The traceback of what is handled, for the run's log.  Where the log's disk is full the driver
    has to hear of the fault all the same: it would wait for ever.
    """
    with contextlib.suppress(OSError):
        traceback.print_exc()


def work(descriptor: int) -> None:
    """Works for the driver at the other end of a socket; Ctrl-C reaches all processes of a
    terminal, and the driver alone minds it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    redact_streams()
    as_told()
    CrewMember(Connection(descriptor)).serve()


def main() -> None:
    """A process that was started by a command line."""
    work(int(sys.argv[1]))
