"""What a server of one's own says of each text."""

from typing import Annotated, Any

import aiohttp
import pyarrow as pa

from pairmill.stage import SPEED, AsyncStage, RowError, StageConfig, column


class LabelledConfig(StageConfig):
    server: Annotated[str, SPEED]
    """Address that answers `{"text": …}` with `{"label": …}`."""


class LabelledStage(AsyncStage):
    """The label that a server gives each text."""

    Config, prefix = LabelledConfig, "label"

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.string(), "what the server says of the text")])

    async def begin(self) -> None:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))

    async def answer(self, row: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(self.config.server, json={"text": row["text"]}) as response:
            if response.status >= 400:
                raise RowError(f"http_{response.status}", await response.text())
            return {self.column(): (await response.json())["label"]}

    async def end(self) -> None:
        await self.session.close()
