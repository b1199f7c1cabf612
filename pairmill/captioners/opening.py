"""The engine that a stage's config names: opened, and looked at before anything is computed."""

import asyncio
import shlex
from functools import cache
from importlib.metadata import version
from typing import Any

from pairmill.captioners.batches import Batched
from pairmill.captioners.engine import Engine
from pairmill.shares import Ask
from pairmill.torch_device import streams


async def open_engine(
    stage: str,
    config: Any,
    images: int,
    system: bool,
    cpus: float,
    ask: Ask | None = None,
    run_folder: str = "",
) -> Engine:
    """The engine of a stage, in its event loop; raises PairmillError where it cannot start.

    `images`: at most so many in a request; `system`: whether requests have a system turn; `cpus`:
    cores of the worker; `ask`: for its share of the run's limits; `run_folder`: for logs.
    """
    if config.served_by() is not None:
        from pairmill.captioners.served_engine import ServedEngine
        from pairmill.captioners.server import ModelServer

        server = ModelServer(stage, config, images, run_folder)
        await server.start()
        return ServedEngine(stage, config, server)
    if config.engine == "openai":
        from pairmill.captioners.openai_engine import OpenAIEngine

        return OpenAIEngine(stage, config, ask)
    if config.engine == "vllm":
        from pairmill.captioners.vllm_engine import VllmEngine

        return await asyncio.to_thread(VllmEngine, stage, config, images, system, cpus)
    from pairmill.captioners.transformers_engine import TransformersCaptioner

    spec, sampling = config.spec(cpus), config.sampling()
    told = (images, system, config.text_first, bool(config.examples), config.batch_size)
    model = TransformersCaptioner(stage, spec, sampling, *told)
    return Batched(model, config.batch_size)


def check_engine(stage: str, config: Any, images: int, system: bool, cpus: float) -> list[str]:
    """What can be said of the engine and its model before any work, one line each; raises
    PairmillError for what would fail then.
    """
    if config.served_by() is not None:
        from pairmill.captioners.openai_client import client_of
        from pairmill.captioners.server import command_of, lacking

        client_of(stage, config)
        told = f"each worker starts {shlex.join(command_of(config, images))}"
        return [told, *filter(None, [lacking(config)])]
    if config.engine == "openai":
        from pairmill.captioners.openai_client import check_server

        return check_server(stage, config)
    if config.engine == "vllm":
        from pairmill.captioners.vllm_engine import check_vllm

        return check_vllm(stage, config, images, system, cpus)
    from pairmill.captioners.check import check_caption

    spec, sampling = config.spec(cpus), config.sampling()
    kind = (images, system, config.text_first, bool(config.examples))
    return check_caption(stage, spec, sampling, *kind)


@cache
def engine_version(engine: str) -> str:
    """The version of the package that runs the model, or asks the server that does."""
    if engine == "vllm":
        from pairmill.captioners.vllm_options import check_installed

        check_installed()
    return version(engine)


def at_once(config: Any, cpus: float) -> int:
    """Requests that are under way at a time in one worker with so many cores."""
    if config.engine != "transformers":
        return int(config.in_flight()) + READY
    return (streams(config.resources.cpus or cpus) + BATCHES) * int(config.batch_size)


BATCHES = 3
"""Batches that rows are under way for beside those that are answered: one that is ready, and some
to choose neighbours from.
"""
READY = 16
"""Requests that are made ready while others are in flight."""
