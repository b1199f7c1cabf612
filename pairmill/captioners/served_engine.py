"""`engine: openai` with a server of the worker's own, which is started again where it dies."""

import asyncio
import contextlib
from typing import Any

from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.openai_client import client_of
from pairmill.captioners.openai_engine import Failed, OpenAIEngine
from pairmill.captioners.server import ModelServer
from pairmill.errors import RowError, StageBroken

NOTICED_S = 2.0
"""Seconds that a failed request waits for the news that its server has ended."""
MOST_IN_VAIN = 5
"""Servers in a row that may end before one has answered a single request."""


class ServerDied(Exception):
    """The server ended while a request was at it."""


class HeldBack(Exception):
    """A request was not sent, since another has to be alone with the server."""


class ServedEngine(OpenAIEngine):
    """Asks its own server.  Of the requests that were at a server when it ended, one may be the
    reason: the next server gets these one by one, and nothing beside, so that the row that ends a
    server alone fails as `server_died`, and no other does.
    """

    def __init__(self, stage: str, config: Any, server: ModelServer) -> None:
        self.server, self.in_vain = server, 0
        super().__init__(stage, config.model_copy(update={"base_url": server.base_url}))
        self.starting_again, self.one_by_one = asyncio.Lock(), asyncio.Lock()
        self.suspects, self.abandoned = 0, False
        self.alone: Request | None = None
        """The suspect that is at the server now."""
        self.calm = asyncio.Event()
        self.calm.set()

    @property
    def note(self) -> str:
        """The model, whose server it is, and how often it was started."""
        again = f", started {self.server.lives} times" if self.server.lives > 1 else ""
        return f"{self.config.model} by a server of its own{again}"

    def abandon(self) -> None:
        """Ends the server at once, in any thread; what was at it neither is answered nor fails."""
        self.abandoned = True
        self.server.stop()

    async def close(self) -> None:
        """Ends the server, too."""
        try:
            await super().close()
        finally:
            await asyncio.to_thread(self.server.stop)
            if not self.abandoned:
                self.server.forget()

    async def answer(self, request: Request) -> Answer:
        """As OpenAIEngine's; RowError `server_died` where the request ends servers."""
        life = self.server.lives
        try:
            while True:
                await self.calm.wait()
                life = self.server.lives
                with contextlib.suppress(HeldBack):
                    return await self.answered(request)
        except ServerDied:
            return await self.answered_alone(request, life)

    async def answered_alone(self, request: Request, life: int) -> Answer:
        """The answer to a request that was at the server of `life` when that ended."""
        self.suspects += 1
        self.calm.clear()
        try:
            async with self.one_by_one:
                await self.revive(life)
                self.alone, life = request, self.server.lives
                try:
                    return await self.answered(request)
                except ServerDied:
                    why = self.server.last_words()
                    await self.revive(life)
                    raise RowError(
                        "server_died", f"the server ended when it was asked this alone ({why})"
                    ) from None
                finally:
                    self.alone = None
        finally:
            self.suspects -= 1
            if not self.suspects:
                self.calm.set()

    async def answered(self, request: Request) -> Answer:
        """An answer of the server that runs now."""
        answer = await super().answer(request)
        self.in_vain = 0
        return answer

    async def attempt(self, turns: list[dict[str, Any]], request: Request) -> Answer | Failed:
        """One request; raises ServerDied where the server ended meanwhile."""
        life = self.server.lives
        found = await super().attempt(turns, request)
        if isinstance(found, Failed) and found.again and await self.gone(life):
            if self.abandoned:
                raise StageBroken(f"stage {self.stage!r}: the run was interrupted")
            raise ServerDied
        return found

    def options(self, turns: list[dict[str, Any]], request: Request) -> dict[str, Any]:
        """Raises HeldBack, at the last moment, where another request has to be alone."""
        if self.suspects and request is not self.alone:
            raise HeldBack
        return super().options(turns, request)

    def failed(self, error: Exception, request: Request) -> Failed:
        """What was held back is no failure."""
        if isinstance(error, HeldBack):
            raise error
        return super().failed(error, request)

    async def gone(self, life: int) -> bool:
        """Whether the server of a life has ended, as far as can be told within moments."""
        end = asyncio.get_running_loop().time() + NOTICED_S
        while self.server.lives == life and not self.server.ended():
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(0.1)
        return True

    async def revive(self, life: int) -> None:
        """Starts a server in place of that of `life`, unless another request has; raises
        StageBroken where servers end and answer nothing.
        """
        async with self.starting_again:
            if self.server.lives != life:
                return
            self.in_vain += 1
            if self.in_vain >= MOST_IN_VAIN:
                raise StageBroken(
                    f"stage {self.stage!r}: {self.in_vain} servers in a row ended and answered "
                    f"nothing ({self.server.last_words()})"
                )
            await self.server.start()
            old, there = self.client, {"base_url": self.server.base_url}
            self.config = self.config.model_copy(update=there)
            self.client = client_of(self.stage, self.config)
            await old.close()
