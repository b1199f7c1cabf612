"""The parts of benchmarks/gpu.py that are about CLIP."""

import time
from dataclasses import replace
from itertools import count as counting
from typing import Any

import real_sizes
import torch
from feeding import fed
from gpu_parts import Bench, busy, seconds, sync, texts

from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.images import decode_rgb
from pairmill.models import fused_tower
from pairmill.models.towers import open_towers
from pairmill.models.two_towers import compile_layers

COMPILED: dict[str, Any] = {"compile": True}
ANEW = counting(15)
"""Numbers of cores: a model of another number is loaded anew."""


def model_alone(bench: Bench, towers: Any, size: int) -> float:
    """Images a second of the towers on pictures that lie on the device and texts in tokens."""
    images = [decode_rgb(d) for d in bench.images(size)]
    pixels = {n: v.to(towers.device) for n, v in towers.pixels(images).items()}
    words = towers.words(texts(size))
    return size / seconds(lambda: towers.embed(pixels, words), 5)


def towers_by(bench: Bench, name: str, **options: Any) -> Any:
    """Two towers, loaded anew."""
    torch._dynamo.reset()
    spec = ClipConfig(model=bench.clip(name), device=bench.device, **options).spec(15.0)
    found: Any = open_towers("clip", replace(spec, cpus=next(ANEW)))
    found.warm(bench.few(512))
    return found


def told(bench: Bench, name: str, rate: float) -> dict[str, Any]:
    """A model's own speed beside the card's."""
    flops = real_sizes.CLIPS["tiny" if bench.tiny else name].image_flops() * rate / 1e12
    share = round(flops / bench.ceiling, 3) if bench.ceiling else None
    return {"images/s": round(rate), "image tower TFLOP/s": round(flops, 1), "of ceiling": share}


def alone(bench: Bench) -> dict[str, Any]:
    """Images a second of CLIP L/14 alone, compiled layer by layer and fused."""
    found: dict[str, Any] = {}
    size = bench.few(512)
    plain = towers_by(bench, "L/14")
    found["not compiled"] = told(bench, "L/14", model_alone(bench, plain, size))
    compile_layers("clip", plain.loaded, plain.probe)
    found["layers compiled"] = told(bench, "L/14", model_alone(bench, plain, size))
    del plain
    towers = towers_by(bench, "L/14", **COMPILED)
    if towers.fused is None:
        return {**found, "fused": "no fused tower here"}
    found["fused"] = told(bench, "L/14", model_alone(bench, towers, size))
    found["fused"]["note"] = towers.note
    found["kernels, ms"] = kernels(bench, towers, size)
    return found


def kernels(bench: Bench, towers: Any, size: int) -> dict[str, float]:
    """Milliseconds of a batch by kernel, the longest first."""
    if not bench.gpu:
        return {}
    from torch.profiler import ProfilerActivity, profile

    images = [decode_rgb(d) for d in bench.images(size)]
    pixels = {n: v.to(towers.device) for n, v in towers.pixels(images).items()}
    words = towers.words(texts(size))
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        towers.embed(pixels, words)
        sync()
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_device_time_total)
    return {
        f"{row.key[:70]} ×{row.count}": round(row.self_device_time_total / 1e3, 2)
        for row in rows[:14]
    }


def tuned(bench: Bench) -> dict[str, Any]:
    """The same with kernels for products that are chosen by trial; taken from here on if faster."""
    usual = fused_tower.MODE
    rates = {}
    for mode in (usual, "max-autotune-no-cudagraphs"):
        fused_tower.MODE = mode
        towers = towers_by(bench, "L/14", **COMPILED)
        rates[mode] = model_alone(bench, towers, bench.few(512))
    found: dict[str, Any] = {str(mode): told(bench, "L/14", rates[mode]) for mode in rates}
    found["kernels, ms"] = kernels(bench, towers, bench.few(512))
    fused_tower.MODE = max(rates, key=lambda mode: rates[mode] if mode else rates[mode] * 1.01)
    found["taken"] = str(fused_tower.MODE)
    if usual != fused_tower.MODE:
        found["stage"] = staged(bench, "L/14", 512, **COMPILED)
    return found


def clip(bench: Bench) -> dict[str, Any]:
    """Images a second of the stage, fed by processes, beside the model alone."""
    return {
        "L/14 compiled, batch 512": staged(bench, "L/14", 512, **COMPILED),
        "L/14 compiled, batch 256": staged(bench, "L/14", 256, **COMPILED),
        "B/32 compiled, batch 512": staged(bench, "B/32", 512, **COMPILED),
    }


def staged(bench: Bench, name: str, size: int, **options: Any) -> dict[str, Any]:
    torch._dynamo.reset()
    stage = clip_stage(bench, name, batch_size=bench.few(size), **options)
    try:
        return clip_rates(bench, stage, name, bench.few(size))
    finally:
        stage.close()


def clip_stage(bench: Bench, name: str, **options: Any) -> ClipStage:
    resources = {"cpus": 15.0}
    stage = ClipStage(ClipConfig(model=bench.clip(name), resources=resources, **options))
    stage.setup()
    return stage


def clip_rates(bench: Bench, stage: ClipStage, name: str, size: int) -> dict[str, Any]:
    by_itself = model_alone(bench, stage.model, size)
    count = bench.few(12_288 if name == "L/14" else 24_576)
    rows = bench.rows(count)
    fed(stage, rows.slice(0, size * 2), size)
    with busy() as share:
        start = time.perf_counter()
        fed(stage, rows, size)
        rate = count / (time.perf_counter() - start)
    return {
        "model alone": told(bench, name, by_itself),
        "stage": round(rate),
        "of alone": round(rate / by_itself, 3),
        "busy": share,
        "note": stage.note,
    }


def cpu(bench: Bench) -> dict[str, Any]:
    """Images a second of the towers on this machine's CPU."""
    found = {}
    for name, size in (("B/32", 64), ("L/14", 32)):
        stage = clip_stage(bench, name, device="cpu", dtype="bfloat16", batch_size=size)
        found[name] = round(model_alone(bench, stage.model, size), 1)
        stage.close()
    return found
