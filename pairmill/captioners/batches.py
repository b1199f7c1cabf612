"""An engine that answers in batches, asked one request at a time."""

import asyncio
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pairmill.captioners.engine import Answer, BatchEngine, Request
from pairmill.errors import PairmillError, RowError
from pairmill.torch_device import on_all_cores, on_one_core

QUIET_S = 0.03
"""Seconds without a new request after which a batch that is not full goes off."""


@dataclass(order=True)
class Waiting:
    """A request that waits for its batch; the longest first, so that what a batch pads is little,
    and a batch that does not fit is found early.
    """

    size: tuple[int, int]
    number: int
    request: Request = field(compare=False)
    answer: "asyncio.Future[Answer]" = field(compare=False)


class Batched:
    """Makes batches of at most `size` of what waits, whichever shards it is from: requests of like
    length together, the one that has waited longest among them.
    """

    structured = False

    def __init__(self, engine: BatchEngine, size: int) -> None:
        self.engine, self.size = engine, size
        self.waiting: list[Waiting] = []
        self.numbers = itertools.count()
        self.news = asyncio.Event()
        self.slots = asyncio.Semaphore(engine.streams + 1)  # one is made ready
        self.preparing = ThreadPoolExecutor(1, "prepare", on_one_core)
        self.model = ThreadPoolExecutor(engine.streams, "model", on_all_cores)
        self.works: set[asyncio.Task[None]] = set()
        self.pump = asyncio.ensure_future(self.send())

    @property
    def note(self) -> str:
        """As the engine's."""
        return self.engine.note

    def neutral(self, text: str) -> str:
        """As the engine's."""
        return self.engine.neutral(text)

    async def answer(self, request: Request) -> Answer:
        """The request's answer, out of the batch that it went with."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(Waiting(request.size(), next(self.numbers), request, future))
        self.news.set()
        return await future

    async def close(self) -> None:
        """Ends what is under way, and the threads."""
        under_way = [self.pump, *self.works]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for pool in (self.preparing, self.model):
            pool.shutdown(wait=False, cancel_futures=True)

    async def send(self) -> None:
        """Sends batches off for ever."""
        while True:
            await self.slots.acquire()
            await self.gathered()
            work = asyncio.ensure_future(self.work(self.next_batch()))
            self.works.add(work)
            work.add_done_callback(self.works.discard)

    async def gathered(self) -> None:
        """Until a batch is full, or nothing more comes."""
        while len(self.waiting) < self.size:
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), QUIET_S if self.waiting else None)
            except asyncio.TimeoutError:
                self.waiting = [one for one in self.waiting if not one.answer.done()]
                if self.waiting:
                    return

    def next_batch(self) -> list[Waiting]:
        """Of the requests that wait, by size, the run of neighbours that the oldest is among."""
        oldest = min(self.waiting, key=lambda one: one.number)
        every = sorted(self.waiting, reverse=True)
        first = min(every.index(oldest), max(0, len(every) - self.size))
        batch = every[first : first + self.size]
        taken = {one.number for one in batch}
        self.waiting = [one for one in self.waiting if one.number not in taken]
        return batch

    async def work(self, batch: list[Waiting]) -> None:
        """Takes a batch through both threads; every request gets its answer or its error."""
        try:
            await self.answered(batch)
        finally:
            self.slots.release()

    async def answered(self, batch: Sequence[Waiting]) -> None:
        """Halves a batch that raises, down to the request."""
        loop = asyncio.get_running_loop()
        requests = [one.request for one in batch]
        try:
            begun: Any = await loop.run_in_executor(self.preparing, self.engine.begin, requests)
            answers = await loop.run_in_executor(self.model, self.engine.answer, begun)
        except Exception as error:  # a model may raise anything
            if isinstance(error, PairmillError) or len(batch) == 1:
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                return
            half = len(batch) // 2
            await self.answered(batch[:half])
            await self.answered(batch[half:])
            return
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, RowError):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
