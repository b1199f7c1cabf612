"""Threads of this process that read a source and store its shards.

Tables without pictures are read, hashed, compressed and written nearly without Python's lock.  So
threads do on a few cores what processes do: nothing is started anew, and rows are neither sent nor
written to a file until they have their place.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from pairmill.schemas.arrow import is_payload
from pairmill.sources.base import Unit
from pairmill.workspace.reading import Hands
from pairmill.workspace.reading_groups import work_of

MOST = 4
"""From how many cores on Python's lock would keep threads waiting for each other."""
CARRIED_BYTES = 128 * 2**20
"""What a task may take in memory; of more, what was read is thrown away, and who places the rows
reads them batch by batch.
"""


def suits_threads(ahead: Sequence[tuple[int, Unit]], schema: pa.Schema, hands: Hands) -> bool:
    """Whether threads are sooner done with these units than as many processes."""
    if not hands.threads or hands.count > MOST or any(is_payload(field.type) for field in schema):
        return False
    sizes = [work_of(unit) for _, unit in ahead if unit.items and not unit.at_hand]
    return sum(sizes) >= hands.thread_bytes * len(sizes)


def in_threads(hands: Hands) -> Hands:
    """As many threads in place of processes."""
    spread = partial(spread_over, count=hands.count)
    return replace(
        hands,
        spread=spread,
        queue=Waited,
        carried=True,
        ahead=1,
        spool_bytes=min(hands.spool_bytes, CARRIED_BYTES),
        first_here=False,
    )


class Waited(deque[Any]):
    """Items for which threads wait."""

    def __init__(self) -> None:
        super().__init__()
        self.there = threading.Semaphore(0)
        self.total = 0
        """Of all items so far."""

    def append(self, item: Any) -> None:
        """One more item, for the next thread that is free."""
        super().append(item)
        self.total += 1
        self.there.release()

    def next(self) -> Any:
        """The next item; None once there will be no more."""
        self.there.acquire()
        try:
            return self.popleft()
        except IndexError:
            return None

    def end(self, count: int) -> None:
        """Nothing more comes, and what is left is not done: `count` threads end."""
        self.clear()
        self.there.release(count)


def spread_over(
    work: Callable[[Any], Any], items: Waited, count: int
) -> Generator[tuple[Any, Any]]:
    """Each item with what `work` gives, as they come; the threads begin at once."""
    done: queue.SimpleQueue[tuple[Any, Any, BaseException | None]] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=attempts, args=(work, items, done), daemon=True, name=f"read {n}")
        for n in range(count)
    ]
    for thread in threads:
        thread.start()
    found = results(items, done, threads)
    next(found)  # from now on `close` ends the threads
    return found


def results(
    items: Waited,
    done: "queue.SimpleQueue[tuple[Any, Any, BaseException | None]]",
    threads: Sequence[threading.Thread],
) -> Generator[Any]:
    """What the threads give; first, None.  Raises what `work` raised."""
    given = 0
    try:
        yield None
        while given < items.total:
            item, value, error = done.get()
            given += 1
            if error is not None:
                raise error
            yield item, value
            del item, value  # rows are not held while this process waits
    finally:
        items.end(len(threads))
        for thread in threads:
            thread.join()  # what they hold is stored, or left, before the caller goes on


def attempts(
    work: Callable[[Any], Any],
    items: Waited,
    done: "queue.SimpleQueue[tuple[Any, Any, BaseException | None]]",
) -> None:
    """What a thread does: item after item, until there is none."""
    while (item := items.next()) is not None:
        try:
            done.put((item, work(item), None))
        except BaseException as error:
            done.put((item, None, error))
        del item
