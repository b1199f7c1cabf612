"""Stages of careless authors: each ends, or answers, in a way that no stage should."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pairmill import GlobalStage, Stage, StageConfig, column
from pairmill.stage import AsyncStage, RowError


class MuteError(Exception):
    """An error whose message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


class CarelessConfig(StageConfig):
    how: str
    """Key of ENDS, or of `answers`."""
    where: str = "call"
    """setup, call, close: where it ends."""
    only: str | None = None
    """The text at which alone the call ends."""


def cancelled() -> None:
    raise asyncio.CancelledError


def interrupted() -> None:
    raise KeyboardInterrupt


def mute() -> None:
    raise MuteError


def nameless() -> None:
    raise RowError("", "")


def wrong() -> None:
    raise ValueError("no good")


def base() -> None:
    raise BaseException("based")


def forked() -> None:
    """Its child comes back from the call, as its parent does."""
    os.fork()


def forked_and_left() -> None:
    """Its child ends as programs do, which the stage waits for."""
    if not (child := os.fork()):
        sys.exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 7:
        raise ValueError("the child ended otherwise")


ENDS: dict[str, Callable[[], Any]] = {
    "exit": lambda: sys.exit(3),
    "fork": forked,
    "fork and leave": forked_and_left,
    "interrupt": interrupted,
    "cancel": cancelled,
    "base": base,
    "mute": mute,
    "nameless": nameless,
    "wrong": wrong,
}


class Careless:
    """What the three kinds have in common."""

    config: Any
    column: Callable[..., str]

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "characters of the text")])

    def finish(self, where: str, texts: list[str]) -> None:
        """Ends as the config says, where it says so."""
        config = self.config
        if config.where == where and (config.only is None or config.only in texts):
            ENDS.get(config.how, lambda: None)()

    def careless(self, rows: pa.Table) -> Any:
        texts = rows["text"].to_pylist()
        self.finish("call", texts)
        name, sizes = self.column(), pa.array([len(text) for text in texts])
        fine = pa.table({name: sizes})
        answers: dict[str, Callable[[], Any]] = {
            "lists": lambda: pa.table({name: [[1]] * len(texts)}),
            "twice": lambda: pa.Table.from_arrays([sizes, sizes], names=[name, name]),
            "text error": lambda: fine.append_column("error", pa.array(["bad"] * len(texts))),
            "no class": lambda: fine.append_column(
                "error", pa.array([{"class": None, "message": "so"}] + [None] * (len(texts) - 1))
            ),
        }
        return answers.get(self.config.how, lambda: fine)()


class MapStage(Careless, Stage):
    """Sees one shard."""

    Config, prefix = CarelessConfig, "careless"

    def setup(self) -> None:
        self.finish("setup", [])

    def close(self) -> None:
        self.finish("close", [])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return self.careless(rows)


class WholeStage(Careless, GlobalStage):
    """Sees all rows."""

    Config, prefix = CarelessConfig, "careless"

    def setup(self) -> None:
        self.finish("setup", [])

    def close(self) -> None:
        self.finish("close", [])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return self.careless(rows)


class RowStage(Careless, AsyncStage):
    """Sees one row at a time."""

    Config, prefix = CarelessConfig, "careless"

    async def begin(self) -> None:
        self.finish("setup", [])

    async def end(self) -> None:
        self.finish("close", [])

    async def answer(self, row: dict[str, Any]) -> dict[str, Any]:
        self.finish("call", [row["text"]])
        error = {"error": "bad"} if self.config.how == "text error" else {}
        return {self.column(): len(row["text"]), **error}
