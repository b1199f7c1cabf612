"""What a person sees of a run: a live table while it works, the funnel at the end."""

import threading
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pairmill.fates.ledger import Funnel
from pairmill.pipeline.watcher import Watcher
from pairmill.safe_output import printable
from pairmill.texts.amounts import amount, commonest
from pairmill.work.engine import WorkEngine
from pairmill.work.messages import Message, Notice, SettingUp, WorkerLog

COUNTED = ("rows", "kept", "dropped", "missing", "failed", "seconds")
STOP_S = 5.0
SHOWN_S = 2.0
"""From when on people are told that a stage is still set up."""
HEARTBEAT_S = 15
"""Where no terminal shows the growing table, a line of progress comes at most so often."""


class LiveWatcher(Watcher):
    """A table that grows in place, in a terminal or a notebook; plain lines where neither is."""

    def __init__(self, console: Console) -> None:
        self.console, self.heartbeat_s = console, HEARTBEAT_S
        self.began: float | None = None
        """When the first rows of the source were read."""
        self.rows: dict[str, dict[str, float]] = {}
        self.title, self.total, self.start = "", 0, time.monotonic()
        self.current: list[str] = []
        """Stages of the phase that is at work."""
        self.notice = ""
        """What the work waited for last."""
        self.loading: dict[str, float] = {}
        """Stages that are set up now, and since when."""
        self.last_beat = self.start
        lively = console.is_terminal and not console.is_dumb_terminal
        self.interactive = lively or console.is_jupyter
        self.live: Live | None = None
        self.lock = threading.Lock()
        self.fetch: Any = None
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def watch(self, engine: WorkEngine) -> None:
        """Asks the engine for news, so that counts appear when a stage finishes a shard, not when a
        phase does.
        """

        def poll() -> None:
            while not self.stop.wait(0.5):
                for message in engine.news():
                    self.take(message)
                self.beat()

        self.thread = threading.Thread(target=poll, daemon=True)
        self.thread.start()

    def phase(self, title: str, stages: list[str], rows: int) -> None:
        """A phase starts."""
        with self.lock:
            self.title, self.total, self.start = title, rows, time.monotonic()
            self.notice, self.current, self.loading = "", stages, {}
            self.last_beat = self.start
            for name in stages:
                self.rows[name] = dict.fromkeys(COUNTED, 0)
        if not self.interactive:
            self.console.print(Text(f"{title}: {amount(rows, 'row')} to decide"), soft_wrap=True)
        else:
            self.show()

    def show(self) -> None:
        """Starts the live table, unless it is there."""
        if self.live is None:
            self.live = Live(
                console=self.console,
                get_renderable=self.render,
                refresh_per_second=4,
                transient=True,
            )
            self.live.start()

    def reading(self, rows: int, files: int, of: int) -> None:
        """Shows how far the source is read: above the live table, or in a line now and then."""
        now = time.monotonic()
        if self.began is None:
            self.began = self.last_beat = now
        rate = f", {rows / (now - self.began):,.0f} rows/s" if now > self.began else ""
        text = f"reading the source: {amount(rows, 'row')}, {files:,} of {amount(of, 'file')}{rate}"
        if self.interactive:
            self.title = text
            self.show()
        elif now - self.last_beat >= self.heartbeat_s:
            self.last_beat = now
            self.console.print(Text(text), soft_wrap=True)

    def take(self, message: Message) -> None:
        """A worker's message: counts for the table, a failure for the log."""
        if isinstance(message, WorkerLog):
            message.write()
            return
        if isinstance(message, Notice):
            self.notice = printable(message.text)
            if not self.interactive:
                self.console.print(Text(self.notice), soft_wrap=True)
            return
        if isinstance(message, SettingUp):
            self.load(message)
            return
        with self.lock:
            self.loading.pop(message.stage, None)
            row = self.rows.setdefault(message.stage, dict.fromkeys(COUNTED, 0))
            for key in COUNTED:
                row[key] += getattr(message, key)
        if not self.interactive and time.monotonic() - self.last_beat >= self.heartbeat_s:
            self.last_beat = time.monotonic()
            self.console.print(Text(self.heartbeat(message.stage)), soft_wrap=True)

    def load(self, message: SettingUp) -> None:
        """A worker sets a stage up; one that was killed meanwhile never says that it has ended, but
        the next one does.
        """
        with self.lock:
            if message.ended:
                self.loading.pop(message.stage, None)
            else:
                self.loading.setdefault(message.stage, time.monotonic())

    def set_up(self) -> list[str]:
        """What of the work stands still since a stage is set up: its model loads, or its server
        starts.
        """
        now = time.monotonic()
        since = {name: now - began for name, began in self.loading.items()}
        return [f"{n}: setting up ({s:,.0f} s)" for n, s in since.items() if s >= SHOWN_S]

    def beat(self) -> None:
        """A line now and then, also while no shard gets done."""
        with self.lock:
            unfinished = [name for name in self.current if self.rows[name]["rows"] < self.total]
            waited = self.set_up()
        due = time.monotonic() - self.last_beat >= self.heartbeat_s
        if unfinished and due and not self.interactive:
            self.last_beat = time.monotonic()
            lines = [self.heartbeat(unfinished[0]), *waited]
            self.console.print(Text("; ".join(lines)), soft_wrap=True)

    def heartbeat(self, stage: str) -> str:
        """Rows done of the phase's, their rate, and the time that the rest takes at that rate."""
        done, elapsed = int(self.rows[stage]["rows"]), time.monotonic() - self.start
        text = f"{stage}: {done:,} of {amount(self.total, 'row')}"
        if not done:
            return f"{text} after {elapsed:,.0f} s"
        if elapsed:
            rate = done / elapsed
            left = f", {(self.total - done) / rate:,.0f} s left" if done < self.total else ""
            text += f", {rate:,.1f} rows/s{left}"
        return text

    def note(self, text: str) -> None:
        """A line for people."""
        self.current = []
        if not self.interactive:
            self.console.print(Text(printable(text)), soft_wrap=True)
        else:
            self.title = text

    def done(self) -> None:
        """Ends the live table."""
        self.stop.set()
        if self.thread is not None:
            self.thread.join(STOP_S)
        if self.live is not None:
            self.live.stop()
            self.live = None

    def render(self) -> Group:
        """The live table."""
        with self.lock:
            elapsed = time.monotonic() - self.start
            table = Table(box=None, pad_edge=False)
            for name, justify in (
                ("stage", "left"),
                *(
                    (n, "right")
                    for n in ("rows", "kept", "dropped", "missing", "failed", "rows/s", "left")
                ),
            ):
                table.add_column(name, justify=justify)  # type: ignore[arg-type]
            for name, row in self.rows.items():
                rate = row["rows"] / elapsed if elapsed > 0 else 0
                left = (
                    f"{max(0, self.total - row['rows']) / rate:,.0f} s"
                    if rate and row["rows"] < self.total
                    else ""
                )
                table.add_row(
                    name,
                    *(f"{int(row[k]):,}" for k in ("rows", "kept", "dropped", "missing", "failed")),
                    f"{rate:,.1f}",
                    left,
                )
            title = Text(f"{self.title}  ({elapsed:,.0f} s)", style="bold")
            notices = [*([self.notice] if self.notice else []), *self.set_up()]
            return Group(title, table, *(Text(line, style="yellow") for line in notices))


def funnel_table(funnel: Funnel) -> Table:
    """Rows in, gate by gate, to the rows kept; the most frequent reasons beside each step."""
    table = Table(
        title=(
            f"{amount(funnel.rows, 'row')} in, {funnel.kept:,} kept "
            f"({funnel.kept / max(1, funnel.rows):.1%})"
        ),
        title_justify="left",
    )
    table.add_column("step")
    for name in ("rows", "kept", "dropped", "missing", "failed"):
        table.add_column(name, justify="right")
    table.add_column("reasons", overflow="fold")
    for depth, step in funnel.lines():
        table.add_row(
            Text("  " * depth + step.stage),
            *(f"{getattr(step, k):,}" for k in ("rows", "kept", "dropped", "missing", "failed")),
            Text(commonest(step.reasons, 4)),
        )
    return table
