"""How fast `clip` and `caption` can feed a model: images per CPU second with a model that costs
nothing, against decoding alone.

    python benchmarks/feeding.py [--images 256] [--rounds 5]

The processors are those of real models (CLIP at 224 pixels, Qwen2.5-VL bounded to few patches); the
model behind them answers at once.  Photographs are drawn with noise and saved as JPEG; one core
does all the work.  Each figure is the best of several rounds.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from measuring import machine
from PIL import Image
from tiny_models.clip import clip
from tiny_models.qwen import qwen2_5_vl

from pairmill.allocators import choose_allocators
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.images import decode_rgb
from pairmill.stages.base import Stage
from pairmill.stages.caption import CaptionConfig, CaptionStage

SIZES = ((512, 384), (640, 480), (1024, 768))


def jpegs(width: int, height: int, count: int) -> list[bytes]:
    """Pictures with edges and noise, about as large as photographs are."""
    rng = np.random.default_rng(width)
    found = []
    for _ in range(count):
        small = Image.fromarray(rng.integers(0, 255, (height // 12, width // 12, 3), np.uint8))
        smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(noisy).save(out, "JPEG", quality=88)
        found.append(out.getvalue())
    return found


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def per_cpu_second(works: list[Callable[[], object]], images: int, rounds: int) -> list[float]:
    """Images a CPU second of each work: the best of some rounds, in which they take turns."""
    for work in works:
        work()
    found = [[cpu_seconds(work) for work in works] for _ in range(rounds)]
    return [images / min(one) for one in zip(*found, strict=True)]


def decoded(images: list[bytes]) -> None:
    """Decodes one after the other; keeps none, since fresh memory for each costs as much again."""
    for data in images:
        decode_rgb(data)


def fed(stage: Stage, rows: pa.Table, size: int) -> None:
    """Batches as a worker gives them: the next is announced before this one is computed."""
    batches = [rows.slice(i, size) for i in range(0, rows.num_rows, size)]
    for this, following in zip(batches, [*batches[1:], None], strict=True):
        if following is not None:
            stage.prepare(following)
        stage(this)


class Free:
    """In the place of a model: answers at once, of the right shape."""

    def __init__(self, model: Any) -> None:
        self.config = model.config

    def parameters(self) -> list[Any]:
        """No weights that a twin would share."""
        return []

    buffers = parameters

    def get_image_features(self, pixel_values: Any, **_: Any) -> Any:
        return torch.ones(len(pixel_values), 8)

    def get_text_features(self, input_ids: Any, **_: Any) -> Any:
        return torch.ones(len(input_ids), 8)

    def generate(self, input_ids: Any, **_: Any) -> Any:
        return torch.cat([input_ids, input_ids[:, -1:]], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    choose_allocators()  # as every process of a run does
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch:
        towers = Path(scratch) / "clip"
        clip(towers, side=224, patch=224)
        qwen2_5_vl(Path(scratch) / "qwen")
        scorer = ClipStage(ClipConfig(model=str(towers), dtype="float32"))
        writer = CaptionStage(
            CaptionConfig(
                model=str(Path(scratch) / "qwen"), dtype="float32", prompt="x", max_new_tokens=1
            )
        )
        scorer.setup()
        writer.setup()
        for loaded in (scorer.model.loaded, writer.engine.engine.loaded):
            loaded.model = Free(loaded.model)
        print(f"images per CPU second, one core of {machine()}\n")
        print("| pictures | decoding | clip | of decoding | caption | of decoding |")
        print("| --- | --- | --- | --- | --- | --- |")
        for width, height in SIZES:
            images = jpegs(width, height, 64) * (given.images // 64)
            rows = pa.table({"image": images, "text": ["a picture of something"] * len(images)})
            works: list[Callable[[], object]] = [
                lambda i=images: decoded(i),
                lambda r=rows: fed(scorer, r, 64),
                lambda r=rows: fed(writer, r, 16),
            ]
            alone, scored, told = per_cpu_second(works, len(images), given.rounds)
            print(
                f"| {width}×{height} | {alone:.0f} | {scored:.0f} | {scored / alone:.2f} "
                f"| {told:.0f} | {told / alone:.2f} |",
                flush=True,
            )
        scorer.close()
        writer.close()


if __name__ == "__main__":
    main()
