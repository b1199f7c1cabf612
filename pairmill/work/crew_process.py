"""A worker process as the driver sees it."""

import os
import pickle
import queue
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from pairmill.plan.named_modules import VARIABLE, for_workers
from pairmill.work.board import RunBoard
from pairmill.work.starting import END_S, Starter


class CrewProcess:
    """One worker process; a thread reads what it says, answers what it asks of the board, and puts
    all else among `events`, as (this, message...); `died` (exit code) comes last.
    """

    def __init__(
        self,
        starter: Starter,
        paths: Sequence[str],
        settings: Mapping[str, str],
        board: RunBoard,
        asking: threading.Lock,
        events: "queue.SimpleQueue[tuple[Any, ...]]",
    ) -> None:
        self.board, self.asking, self.events = board, asking, events
        self.sending = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {**os.environ, **settings, VARIABLE: for_workers()}
            self.process = starter.start(theirs.fileno(), environment, paths)
        self.connection = Connection(ours.detach())
        self.reader = threading.Thread(target=self.listen, daemon=True, name="crew")
        self.reader.start()

    def send(self, *message: Any) -> None:
        """Silent where the process has died: `died` tells."""
        data = pickle.dumps(message)
        try:
            with self.sending:
                self.connection.send_bytes(data)
        except OSError:
            pass

    def listen(self) -> None:
        """What the thread does."""
        while True:
            try:
                message = pickle.loads(self.connection.recv_bytes())
            except (OSError, EOFError):
                break
            match message:
                case "ask", question, method, arguments:
                    with self.asking:
                        value = getattr(self.board, method)(*arguments)
                    self.send("answer", question, value)
                case "tell", method, arguments:
                    with self.asking:
                        getattr(self.board, method)(*arguments)
                case _:
                    self.events.put((self, *message))
        self.connection.close()
        self.events.put((self, "died", self.process.wait()))

    def kill(self) -> None:
        """Ends the process; what it has committed stays."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(END_S)
        self.reader.join(END_S)


def ended_by(code: int) -> str:
    """How a process ended, in words."""
    try:
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
