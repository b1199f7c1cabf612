"""Work in threads, some items ahead of who takes the results: as much in memory for a million items
as for ten.
"""

import ctypes
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

Item = TypeVar("Item")
T = TypeVar("T")
Box = queue.SimpleQueue[tuple[T | None, BaseException | None]]
"""Where a result, or what was raised, is left for whoever waits."""


def ahead(work: Callable[[Item], T], items: Sequence[Item], count: int) -> Iterator[T]:
    """Results in order, `count` items at work at a time; for one, in this thread.

    The threads are daemons: an interrupt does not wait for them, and what they still commit is as
    good as ever.
    """
    if count == 1:
        yield from map(work, items)
        return
    todo: queue.SimpleQueue[tuple[Item, Box[T]] | None] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=attempts, args=(work, todo), daemon=True, name=f"shard {n}")
        for n in range(min(count, len(items)))
    ]
    waiting: deque[Box[T]] = deque()
    try:
        for thread in threads:
            thread.start()
        for at in range(len(items) + count):
            if at < len(items):
                waiting.append(queue.SimpleQueue())
                todo.put((items[at], waiting[-1]))
            if at >= count - 1 and waiting:
                found, error = waiting.popleft().get()
                if error is not None:
                    for box in waiting:
                        box.get()
                    raise error
                yield found  # type: ignore[misc]
    finally:
        for _ in threads:
            todo.put(None)


def attempts(
    work: Callable[[Item], T], todo: "queue.SimpleQueue[tuple[Item, Box[T]] | None]"
) -> None:
    """What a thread does: item after item, until there is none."""
    while (task := todo.get()) is not None:
        item, box = task
        try:
            box.put((work(item), None))
        except BaseException as error:
            box.put((None, error))
        del task, item, box  # what is large is not held while the thread waits


THREADS = 4
"""Shards that one process reads at a time from a disk; an object store answers later, and is asked
for more at once.
"""


THREADS_FAR = 16


def looks(disk: bool) -> Callable[[Callable[[Item], T], Sequence[Item]], Iterator[T]]:
    """What does work on each of some items of a workspace, on a disk or not, in this process."""
    count = THREADS if disk else THREADS_FAR
    return lambda work, items: ahead(work, items, count)


def give_back() -> None:
    """Gives memory that was freed back to the system: allocators keep what large shards needed, and
    add to it with each.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and (
        trim := getattr(ctypes.CDLL(None), "malloc_trim", None)
    ):  # glibc alone has it
        trim(0)
