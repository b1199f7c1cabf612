"""`engine: openai` with a server of the worker's own, which is started again where it dies."""

import asyncio
from typing import Any

from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.openai_client import client_of
from pairmill.captioners.openai_engine import Failed, OpenAIEngine
from pairmill.captioners.revived import EngineDied, HeldBack, Revived
from pairmill.captioners.server import ModelServer
from pairmill.errors import StageBroken

NOTICED_S = 2.0
"""Seconds that a failed request waits for the news that its server has ended."""


class ServedEngine(Revived[Request, Answer], OpenAIEngine):
    """Asks its own server."""

    died = "server"

    def __init__(self, stage: str, config: Any, server: ModelServer) -> None:
        self.server, self.abandoned = server, False
        OpenAIEngine.__init__(self, stage, config.model_copy(update={"base_url": server.base_url}))
        self.prepare()

    @property
    def lives(self) -> int:
        return self.server.lives

    @property
    def note(self) -> str:
        """The model, whose server it is, and how often it was started."""
        again = f", started {self.server.lives} times" if self.server.lives > 1 else ""
        return f"{self.config.model} by a server of its own{again}"

    def last_words(self) -> str:
        return self.server.last_words()

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

    async def answered(self, request: Request) -> Answer:
        return await OpenAIEngine.answer(self, request)

    async def attempt(self, turns: list[dict[str, Any]], request: Request) -> Answer | Failed:
        """One request; raises EngineDied where the server ended meanwhile."""
        life = self.server.lives
        found = await super().attempt(turns, request)
        if isinstance(found, Failed) and found.again and await self.gone(life):
            if self.abandoned:
                raise StageBroken(f"stage {self.stage!r}: the run was interrupted")
            raise EngineDied
        return found

    def options(self, turns: list[dict[str, Any]], request: Request) -> dict[str, Any]:
        """Raises HeldBack, at the last moment, where another request has to be alone."""
        self.held_back(request)
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

    async def start_again(self) -> None:
        await self.server.start()
        old, there = self.client, {"base_url": self.server.base_url}
        self.config = self.config.model_copy(update=there)
        self.client = client_of(self.stage, self.config)
        await old.close()
