"""What is true of a GPU whose memory is nearly full, and of values that it computes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_captions import asked, caption_stage, model_of
from gpu_clip import clip_stage
from gpu_parts import Bench, sync
from tiny_models.parts import pictures

from pairmill.filters.clip import ClipStage

GB = 2**30


@contextlib.contextmanager
def memory_left(gigabytes: float) -> Iterator[None]:
    """All of the GPU's memory but so much is taken."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    ballast = torch.empty(max(0, int(free - gigabytes * GB)), dtype=torch.uint8, device="cuda")
    try:
        yield
    finally:
        del ballast
        torch.cuda.empty_cache()


def values(bench: Bench) -> dict[str, Any]:
    """Largest differences: of normalised pixels from the processor's, and of scores."""
    stage = clip_stage(bench, "B/32", dtype="float32")
    towers: Any = stage.model
    images = [i.convert("RGB") for i in pictures()]
    own = towers.loaded.processor(images=images, return_tensors="pt")["pixel_values"]
    fast = towers.fast.normalised(towers.fast(images).to(bench.device)).cpu()
    rows = bench.rows(64)
    scores = {"float32": score(stage, rows)}
    stage.close()
    for name, options in (
        ("on the CPU", {"device": "cpu", "dtype": "float32"}),
        ("bfloat16", {"dtype": "bfloat16"}),
        ("bfloat16 compiled", {"dtype": "bfloat16", "compile": True}),
    ):
        other = clip_stage(bench, "B/32", **options)
        scores[name] = score(other, rows)
        other.close()
    base = scores.pop("float32")
    return {
        "pixels": float((own - fast).abs().max()),
        "scores, from those in float32": {
            name: float(np.abs(base - other).max()) for name, other in scores.items()
        },
    }


def score(stage: ClipStage, rows: Any) -> Any:
    return np.asarray(stage(rows)["clip_score"].combine_chunks())


def full(bench: Bench) -> dict[str, Any]:
    """Batches that do not fit: halved, noted, and of the same values."""
    if not bench.gpu:
        return {"skipped": "no GPU"}
    found: dict[str, Any] = {}
    stage = clip_stage(bench, "L/14", dtype="float32", batch_size=4096)
    rows = bench.rows(1024)
    roomy = score(stage, rows)
    with memory_left(3):
        tight = score(stage, rows)
        found["clip"] = {"note": stage.note, "difference": float(np.abs(roomy - tight).max())}
    stage.close()
    del stage
    writer = caption_stage(bench, max_new_tokens=8, batch_size=512)
    rows = bench.rows(512)
    roomy_texts = writer(rows)["caption_tokens"].to_pylist()
    with memory_left(1.5):
        tight_texts = writer(rows)["caption_tokens"].to_pylist()
        found["caption"] = {"note": writer.note, "answered": len(tight_texts)}
        found["caption"]["as many tokens"] = roomy_texts == tight_texts
    writer.close()
    return found


def placed(bench: Bench) -> dict[str, Any]:
    """A model that the GPU does not hold, placed on GPU and CPU by `device_map: auto`."""
    if not bench.gpu:
        return {"skipped": "no GPU"}
    writer = caption_stage(bench, max_new_tokens=4, dtype="float32")
    whole = tokens_of(bench, writer)
    writer.close()
    del writer
    with memory_left(8):
        writer = caption_stage(bench, max_new_tokens=4, dtype="float32", device_map="auto")
        places = {str(v) for v in model_of(writer).loaded.model.hf_device_map.values()}
        split = tokens_of(bench, writer)
        writer.close()
        del writer
    sync()
    return {"places": sorted(places), "same answers": whole == split}


def tokens_of(bench: Bench, writer: Any) -> Any:
    """The tokens themselves: a tokenizer of a toy knows few of them."""
    engine = model_of(writer)
    inputs = engine.begin(asked(bench, 4)).inputs.to(engine.loaded.device)
    with torch.inference_mode():
        return engine.loaded.model.generate(**inputs, generation_config=engine.generation).tolist()


def quantised(bench: Bench) -> dict[str, Any]:
    """The captioner's weights as int8 (torchao) and as 4 bits (bitsandbytes), saved and loaded."""
    return {name: quantised_by(bench, name) for name in ("torchao", "bitsandbytes")}


def quantised_by(bench: Bench, method: str) -> Any:
    import transformers as t

    try:
        if method == "torchao":
            from torchao.quantization import Int8WeightOnlyConfig

            how: Any = t.TorchAoConfig(Int8WeightOnlyConfig(version=2))
        else:
            import bitsandbytes  # noqa: F401

            how = t.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
        place = Path(bench.scratch) / method
        model = t.Qwen2_5_VLForConditionalGeneration.from_pretrained(
            bench.qwen(), quantization_config=how, dtype=torch.bfloat16, device_map=bench.device
        )
        model.save_pretrained(place)
        t.AutoProcessor.from_pretrained(bench.qwen()).save_pretrained(place)
        del model
        looked = caption_lines(bench, str(place))
        writer = caption_stage(bench, model=str(place), max_new_tokens=8)
        rows = bench.rows(8)
        told = writer(rows)["caption_tokens"].to_pylist()
        note = writer.note
        writer.close()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:400]}"
    return {"validate": looked, "note": note, "tokens": told}


def caption_lines(bench: Bench, model: str) -> list[str]:
    from pairmill.stages.caption import CaptionConfig, CaptionStage

    return CaptionStage(CaptionConfig(model=model)).examine()
