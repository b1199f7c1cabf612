"""The parts of benchmarks/gpu.py that caption."""

import time
from typing import Any

import torch
from gpu_parts import Bench, busy, pipeline, seconds

from pairmill.captioners.engine import Message, Request
from pairmill.images import decode_rgb
from pairmill.stages.caption import CaptionConfig, CaptionStage

PROMPT = "Describe this image in one sentence."
NEW_TOKENS = 64


def caption_stage(bench: Bench, **options: Any) -> CaptionStage:
    values = {"model": bench.qwen(), "prompt": PROMPT, "max_new_tokens": NEW_TOKENS}
    resources = {"cpus": 8.0}
    stage = CaptionStage(CaptionConfig(**{**values, **options}, resources=resources))
    stage.setup()
    return stage


def caption(bench: Bench) -> dict[str, Any]:
    """Tokens a second: `generate` alone on inputs that lie there, and the stage from JPEGs."""
    found: dict[str, Any] = {}
    for size in (256, 512):
        size = bench.few(size)
        stage = caption_stage(bench, batch_size=size)
        engine = model_of(stage)
        inputs = engine.begin(asked(bench, size)).inputs.to(bench.device)

        def bare(inputs: Any = inputs, engine: Any = engine) -> None:
            with torch.inference_mode():
                engine.loaded.model.generate(**inputs, generation_config=engine.generation)

        took = seconds(bare, 1)
        many = bench.rows(size * 3)
        with busy() as share:
            start = time.perf_counter()
            stage(many)  # in one go, as a shard is: the next batch is made ready meanwhile
            stage_took = time.perf_counter() - start
        found[f"batch {size}"] = {
            "bare tokens/s": round(size * NEW_TOKENS / took),
            "stage tokens/s": round(3 * size * NEW_TOKENS / stage_took),
            "of bare": round(3 * took / stage_took, 3),
            "busy": share,
            "note": stage.note,
        }
        stage.close()
    return found


def model_of(stage: CaptionStage) -> Any:
    """The engine that has the model, behind the one that makes batches of single requests."""
    engine: Any = stage.engine
    return engine.engine


def asked(bench: Bench, count: int) -> list[Request]:
    """What the stage asks of so many rows."""
    images = [decode_rgb(data) for data in bench.images(count)]
    return [Request((Message("user", PROMPT, (image,)),)) for image in images]


def caption_run(bench: Bench) -> dict[str, Any]:
    """Encoded JPEG to stored caption."""
    stage = (
        f"  - {{stage: caption, model: {bench.qwen()}, batch_size: {bench.few(512)}, "
        f"max_new_tokens: {NEW_TOKENS}, resources: {{cpus: 8}}}}\n"
    )
    return pipeline(bench, stage, bench.few(2_048), "caption")
