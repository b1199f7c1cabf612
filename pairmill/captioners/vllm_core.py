"""One engine of vLLM in a worker, in an event loop of its own, for all stages that name it."""

import asyncio
import contextlib
import functools
import itertools
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pairmill.captioners import engine_keeper
from pairmill.captioners.engine_keeper import VARIABLE
from pairmill.captioners.revived import EngineDied, HeldBack, Revived
from pairmill.captioners.vllm_options import started
from pairmill.errors import RowError, StageBroken, first_line

T = TypeVar("T")
KEPT_OPEN: list[Any] = []
"""The keeper's standard input, which ends with this process."""
STOP_S = 10.0
"""Seconds that vLLM's processes have for ending."""


@dataclass(frozen=True)
class Asked:
    """A prompt as vLLM takes it, and how its answer is chosen."""

    prompt: dict[str, Any]
    sampling: Any


class VllmCore(Revived[Asked, Any]):
    """Answers from any thread.  A process of vLLM that dies is started again."""

    died = "engine"
    cores: ClassVar[dict[str, "VllmCore"]] = {}
    """Engines of this process, by what they were started with."""
    door = threading.Lock()

    def __init__(self, stage: str, arguments: dict[str, Any], given: dict[str, Any]) -> None:
        self.stage, self.arguments, self.given = stage, arguments, given
        self.holders = self.starts = 0
        self.abandoned = False
        self.engine: Any = None
        self.lora: Any = None
        self.numbers = itertools.count()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True)
        self.thread.start()

    @classmethod
    def hold(
        cls, stage: str, arguments: dict[str, Any], given: dict[str, Any], adapter: str | None
    ) -> "VllmCore":
        """The engine of these arguments, started where there is none; blocks meanwhile."""
        key = json.dumps([arguments, adapter], sort_keys=True, default=str)
        with cls.door:
            core = cls.cores.get(key)
            if core is None:
                core = cls(stage, arguments, given)
                try:
                    core.within(core.open(adapter)).result()
                except BaseException:
                    core.end()
                    raise
                cls.cores[key] = core
            core.holders += 1
            return core

    def leave(self) -> None:
        """Ends the engine where no stage holds it any more; blocks meanwhile."""
        with self.door:
            self.holders -= 1
            if self.holders:
                return
            for key in [key for key, core in self.cores.items() if core is self]:
                del self.cores[key]
        self.end()

    def end(self) -> None:
        """Ends the engine, and its loop."""
        with contextlib.suppress(Exception):
            self.within(self.shut_down()).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def shut_down(self) -> None:
        """Ends vLLM's processes, and what is under way in the loop: in the loop, since vLLM's own
        task there would take their end for a fault.
        """
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.shutdown(timeout=STOP_S)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def abandon(self) -> None:
        """Ends the engine soon, in any thread; what was at it neither is answered nor fails."""
        self.abandoned = True
        self.within(self.shut_down())

    def within(self, work: Coroutine[Any, Any, T]) -> Any:
        """Work in the engine's loop, as a future of any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    async def asked(self, asked: Asked) -> Any:
        """The outcome of a request, awaited in any event loop."""
        try:
            return await asyncio.wrap_future(self.within(self.answer(asked)))
        except asyncio.CancelledError:
            if self.abandoned:
                raise self.interrupted() from None
            raise

    def interrupted(self) -> StageBroken:
        """What becomes of requests when the engine is abandoned."""
        return StageBroken(f"stage {self.stage!r}: the run was interrupted")

    async def open(self, adapter: str | None) -> None:
        """Starts the engine, in its loop."""
        self.prepare()
        self.adapter = adapter
        await self.start_again()

    @property
    def lives(self) -> int:
        return self.starts

    async def start_again(self) -> None:
        if (old := self.engine) is not None:
            old.shutdown(timeout=STOP_S)
        model = self.arguments["model"]
        with marked_children():
            self.engine = started(self.stage, model, self.arguments, self.given)
        self.starts += 1
        if self.adapter is not None:
            await self.adapt(self.adapter)

    async def adapt(self, adapter: str) -> None:
        """Loads the adapter now: vLLM would with the first request, and end where it cannot."""
        from vllm.lora.request import LoRARequest

        self.lora = LoRARequest("adapter", 1, adapter)
        try:
            await self.engine.add_lora(self.lora)
        except Exception as error:  # vLLM raises many kinds
            raise StageBroken(
                f"stage {self.stage!r}: vLLM does not take the adapter: {first_line(error)}"
            ) from error

    def last_words(self) -> str:
        return "what it printed is in the run's output.log"

    async def answered(self, asked: Asked) -> Any:
        """vLLM's RequestOutput, whole."""
        engine = self.engine
        try:
            prompt = await self.rendered(engine, asked.prompt)
            self.held_back(asked)
            given = (prompt, asked.sampling, str(next(self.numbers)))
            outcomes = [out async for out in engine.generate(*given, lora_request=self.lora)]
            return outcomes[-1]
        except HeldBack:
            raise
        except Exception as error:  # vLLM raises many kinds
            if self.abandoned:
                raise self.interrupted() from None
            if engine is None or engine.errored:
                raise EngineDied from error
            raise refused(error) from error

    async def rendered(self, engine: Any, prompt: dict[str, Any]) -> Any:
        """The prompt made ready by vLLM's own threads, where the installed version does it apart;
        else it does so while it takes the prompt.
        """
        render: Callable[..., Any] | None = getattr(
            getattr(engine, "renderer", None), "render_cmpl_async", None
        )
        return prompt if render is None else (await render([prompt]))[0]


@functools.cache
def kept_mark(process: int) -> str:
    """The mark of what this process starts for engines, which a keeper sees to; once a process."""
    mark = f"{process}-{secrets.token_hex(8)}"
    keeper = subprocess.Popen(
        [sys.executable, "-I", engine_keeper.__file__, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches all processes of a terminal
    )
    keeper.wait()  # it goes on as nobody's child
    KEPT_OPEN.append(keeper.stdin)
    return mark


@contextlib.contextmanager
def marked_children() -> Iterator[None]:
    """What is started meanwhile does not outlive this process."""
    os.environ[VARIABLE] = kept_mark(os.getpid())
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def refused(error: Exception) -> Exception:
    """A request's own failure: a prompt that is too long (`too_long`), whatever else vLLM does not
    take (`request`); what is none stays as it is.
    """
    if type(error).__name__ == "EngineGenerateError" and isinstance(error.__cause__, Exception):
        error = error.__cause__  # it says nothing by itself
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"VLLMClientError", "ValueError"}:
        said = first_line(error)
        return RowError("too_long" if "longer than" in said else "request", said)
    return error
