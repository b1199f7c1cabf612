"""Small stages with known behaviour, as a third party would write them."""

import asyncio
import glob
import json
import os
import signal
import time
from typing import Annotated, Any, ClassVar

import pyarrow as pa

from pairmill import SPEED, GlobalStage, Stage, StageConfig, column
from pairmill.stage import AsyncStage, RowError


class PickyConfig(StageConfig):
    bad: list[int] = []
    """Positions on which it raises; [-1] for all."""
    log: Annotated[str | None, SPEED] = None
    """File that gets a line of JSON for every batch computed and every setup."""
    pause_s: Annotated[float, SPEED] = 0.0
    """Seconds per row."""
    mode: str = "fine"
    """fine, short (a row too few), wrong (another column), nan."""


class PickyStage(Stage):
    """Doubles `position` and adds the batch's size; raises on chosen rows; flushes at every
    batch.
    """

    Config = PickyConfig
    prefix = "picky"
    flush_s = 0.0

    def reads(self) -> list[str]:
        return ["position", "uid"]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(self.column("twice"), pa.float32(), "2 × position"),
                column(self.column("batch"), pa.int32(), "rows in the batch"),
            ]
        )

    def setup(self) -> None:
        self.jot(setup=True)

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = rows.column("position").to_pylist()
        for v in values:
            if v in self.config.bad or self.config.bad == [-1]:
                self.jot(tried=len(values))
                raise ZeroDivisionError(f"row {v} is bad")
        time.sleep(self.config.pause_s * len(values))
        self.jot(positions=values, uids=rows.column("uid").to_pylist())
        twice = [float("nan") if self.config.mode == "nan" and v % 2 else 2.0 * v for v in values]
        if self.config.mode == "short":
            values, twice = values[:-1], twice[:-1]
        names = (
            ["wrong", self.column("batch")] if self.config.mode == "wrong" else self.writes().names
        )
        return pa.table(
            [pa.array(twice, pa.float32()), pa.array([rows.num_rows] * len(values), pa.int32())],
            names=names,
        )

    def jot(self, **told: object) -> None:
        if self.config.log:
            with open(self.config.log, "a") as stream:
                stream.write(json.dumps({"pid": os.getpid(), **told}) + "\n")


class SharingStage(PickyStage):
    """Would load what others of its kind load, too."""

    actor = True

    def shares(self) -> str:
        return "one model"


class DeadlyConfig(StageConfig):
    crash: list[int] = []
    """Values of `number` on which the process is killed."""
    hang: list[int] = []
    """Values on which it never answers."""
    raises: list[int] = []
    """Values on which it raises."""
    setup_s: float = 0
    """Seconds that loading it takes."""


class DeadlyStage(Stage):
    """Doubles `number`; takes its process down, or hangs, on chosen rows."""

    Config = DeadlyConfig
    prefix = "deadly"

    def setup(self) -> None:
        time.sleep(self.config.setup_s)

    def reads(self) -> list[str]:
        return ["number"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "2 × number")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = rows.column("number").to_pylist()
        if set(values) & set(self.config.crash):
            os.kill(os.getpid(), signal.SIGKILL)
        if set(values) & set(self.config.hang):
            time.sleep(10_000)
        if set(values) & set(self.config.raises):
            raise ZeroDivisionError(f"row {values} is bad")
        return pa.table({self.column(): [2 * v for v in values]})


class SlowReaderConfig(StageConfig):
    log: Annotated[str, SPEED]
    """File that gets a line when a shard comes and when it goes."""
    pause_s: Annotated[float, SPEED] = 0.0
    variant: int = 0
    """Tells two of a pipeline apart: equal stages share what they compute."""


class SlowReaderStage(Stage):
    """Reads images, tells when, and takes its time."""

    Config = SlowReaderConfig
    prefix = "reader"

    def reads(self) -> list[str]:
        return ["image"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "bytes of the image", "bytes")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        time.sleep(self.config.pause_s)
        with open(self.config.log, "a") as stream:
            stream.write(f"{self.name} {time.time()}\n")
        return pa.table({self.column(): [len(v) for v in rows["image"].to_pylist()]})


class DeadlyGlobalStage(GlobalStage):
    """Counts the rows of its call; takes its process down, or hangs, where a chosen row is among
    them.
    """

    Config = DeadlyConfig
    prefix = "all"

    def setup(self) -> None:
        self.ready = True
        time.sleep(self.config.setup_s)

    def reads(self) -> list[str]:
        return ["number"]

    def keys(self) -> list[str]:
        return ["number"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column("rows"), pa.int64(), "rows looked at")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        assert self.ready
        values = rows.column("number").to_pylist()
        if set(values) & set(self.config.crash):
            os.kill(os.getpid(), signal.SIGKILL)
        if set(values) & set(self.config.hang):
            time.sleep(10_000)
        return pa.table({self.column("rows"): [len(values)] * len(values)})


class TilesConfig(StageConfig):
    log: str | None = None
    """File that gets a line for each batch."""


class TilesStage(Stage):
    """As many tiles, each of three bytes, as the number leaves at division by three."""

    Config, prefix = TilesConfig, "tiles"

    def reads(self) -> list[str]:
        return ["position_in"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.list_(pa.binary()), "tiles")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        tiles = [[b"abc"] * (n % 3) for n in rows["position_in"].to_pylist()]
        return pa.table([pa.array(tiles, pa.list_(pa.binary()))], schema=self.writes())


class TileCountConfig(StageConfig):
    version_of: int = 1
    """Another value, another identity."""


class TileCountStage(Stage):
    """The number of tiles."""

    Config, prefix = TileCountConfig, "counted"

    def reads(self) -> list[str]:
        return ["tiles"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "tiles")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.table([[len(t) for t in rows["tiles"].to_pylist()]], schema=self.writes())


class AskedConfig(StageConfig):
    pause_s: Annotated[float, SPEED] = 0.1
    """Seconds that an even row takes; an odd one takes twice as long."""
    late: list[int] = []
    """Rows whose answer never comes."""
    blocks: list[int] = []
    """Rows that block the loop."""
    raises: list[int] = []
    """Rows that raise an error which is none of theirs."""
    refused: list[int] = []
    """Rows that fail by an error of their own."""
    waits_for: Annotated[str | None, SPEED] = None
    """Pattern of files, three of which the last row waits for."""
    gives_up: bool = True
    """Whether late rows can be given up."""
    crash: Annotated[list[int], SPEED] = []
    """Rows that take the process down."""


class AskedStage(AsyncStage):
    """Doubles `number`, one row at a time; the odd ones take longer."""

    Config = AskedConfig
    prefix = "asked"
    flush_s = 0.2
    most: ClassVar[int] = 0
    """Rows that were under way at once, in this process."""

    def reads(self) -> list[str]:
        return ["number"]

    def writes(self) -> pa.Schema:
        fields = [column(self.column(), pa.int64(), "2 × number")]
        return pa.schema([*fields, column(self.column("how"), pa.string(), "how it went")])

    def leaves_late_rows(self) -> bool:
        return self.config.gives_up

    async def begin(self) -> None:
        self.now = 0

    async def answer(self, row: dict[str, Any]) -> dict[str, Any]:
        self.now += 1
        kind = type(self)
        kind.most = max(kind.most, self.now)
        try:
            return await self.doubled(row["number"])
        finally:
            self.now -= 1

    async def doubled(self, number: int) -> dict[str, Any]:
        c = self.config
        await asyncio.sleep(
            c.pause_s * (1 + number % 2)
        )  # so that a busy machine begins all before
        if number in c.late:
            await asyncio.sleep(1000)
        if number in c.blocks:
            time.sleep(3)
        if number in c.crash:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in c.raises:
            raise ZeroDivisionError(f"row {number} is bad")
        if number in c.refused:
            if number % 2:
                raise RowError("refused", "the server says no")
            return {"error": ("refused", "no"), self.column("how"): "asked"}
        while c.waits_for and number == 59 and len(glob.glob(c.waits_for)) < 3:
            await asyncio.sleep(0.02)
        return {self.column(): 2 * number, self.column("how"): "fine"}
