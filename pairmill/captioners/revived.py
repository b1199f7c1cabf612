"""Engines that run in a process of their own, which may die: it is started again, and what it was
asked is asked anew.
"""

import asyncio
import contextlib
from typing import Generic, TypeVar

from pairmill.errors import RowError, StageBroken

Ask = TypeVar("Ask")
Told = TypeVar("Told")

MOST_IN_VAIN = 5
"""Processes in a row that may end before one has answered a single request."""


class EngineDied(Exception):
    """The engine's process ended while a request was at it."""


class HeldBack(Exception):
    """A request was not sent, since another has to be alone with the engine."""


class Revived(Generic[Ask, Told]):
    """Of the requests that were at a process when it ended, one may be the reason: the next process
    gets these one by one, and nothing beside, so that the row that ends a process alone fails as
    `server_died`, and no other does.  Subclasses write what follows these lines.
    """

    stage: str
    died: str
    """What ended, in words: `server`, `engine`."""

    @property
    def lives(self) -> int:
        """How often the process was started."""
        raise NotImplementedError

    async def answered(self, request: Ask) -> Told:
        """An answer of the process that runs now; raises EngineDied where that ends meanwhile, and
        HeldBack where `held_back` does.
        """
        raise NotImplementedError

    async def start_again(self) -> None:
        """Starts another process in place of one that has ended."""
        raise NotImplementedError

    def last_words(self) -> str:
        """How the last process ended."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Called once, in the event loop."""
        self.in_vain = self.suspects = 0
        self.broken: StageBroken | None = None
        """Why no process can be started any more."""
        self.starting_again, self.one_by_one = asyncio.Lock(), asyncio.Lock()
        self.alone: Ask | None = None
        """The suspect that is at the process now."""
        self.calm = asyncio.Event()
        self.calm.set()

    async def answer(self, request: Ask) -> Told:
        """The request's answer; RowError `server_died` where the request ends processes."""
        life = self.lives
        try:
            while True:
                await self.calm.wait()
                life = self.lives
                with contextlib.suppress(HeldBack):
                    return await self.counted_answer(request)
        except EngineDied:
            return await self.answered_alone(request, life)

    async def answered_alone(self, request: Ask, life: int) -> Told:
        """The answer to a request that was at the process of `life` when that ended."""
        self.suspects += 1
        self.calm.clear()
        try:
            async with self.one_by_one:
                await self.revive(life)
                self.alone, life = request, self.lives
                try:
                    return await self.counted_answer(request)
                except EngineDied:
                    why = self.last_words()
                    await self.revive(life)
                    raise RowError(
                        "server_died",
                        f"the {self.died} ended when it was asked this alone ({why})",
                    ) from None
                finally:
                    self.alone = None
        finally:
            self.suspects -= 1
            if not self.suspects:
                self.calm.set()

    async def counted_answer(self, request: Ask) -> Told:
        """As `answered`; a process that answers was not started in vain."""
        answer = await self.answered(request)
        self.in_vain = 0
        return answer

    def held_back(self, request: Ask) -> None:
        """Raises HeldBack, at the last moment, where another request has to be alone."""
        if self.suspects and request is not self.alone:
            raise HeldBack

    async def revive(self, life: int) -> None:
        """Starts a process in place of that of `life`, unless another request has; raises
        StageBroken where they end and answer nothing.
        """
        async with self.starting_again:
            if self.lives != life:
                return
            if self.broken is not None:
                raise self.broken
            self.in_vain += 1
            try:
                if self.in_vain >= MOST_IN_VAIN:
                    raise StageBroken(
                        f"stage {self.stage!r}: {self.in_vain} {self.died}s in a row ended and "
                        f"answered nothing ({self.last_words()})"
                    )
                await self.start_again()
            except StageBroken as error:
                self.broken = error
                raise
