"""Captions: the pipeline beside bare loops with the same model, and `engine: openai` beside a bare
client of the same server.

    python benchmarks/captions.py [--images 1000] [--asked 100]

The demo's captioner, float32, greedy, batches of 16, on all cores of the machine.  `one by one`
and `batched` decode, prepare and generate with `transformers` alone, torch on all cores.
`pipeline` is `Pipeline.run` as it is by default, source read and captions stored; `in one process`
the same with one worker process, as where a second copy of a model does not fit the memory.  The
time of a run over a quarter of the pictures is taken off, so that start and loading do not count.
The server is `transformers serve` with the same model; both clients ask 16 requests at a time.
Each is measured twice, in turn, and the better figure counts.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import openai
import polars as pl
import torch
from measuring import machine

from pairmill.api import Pipeline
from pairmill.captioners.openai_client import data_url
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.show import MODELS
from pairmill.demo.texts import SHORT_PROMPT
from pairmill.demo.world import World
from pairmill.images import decode_rgb
from pairmill.work.crew_size import cores

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.model_server import serving

Times = tuple[float, float]
"""Seconds of wall and of CPU."""
BATCH = 16
TOKENS = 48
CAPTIONER = str(MODELS / "captioner")
PIPELINE = """
name: captions
source: {{type: parquet, path: images.parquet, rows_per_shard: 100}}
stages:
  - stage: caption
    model: {model}
    prompt: {prompt}
    max_new_tokens: {tokens}
    batch_size: {batch}
    {engine}
outputs:
  - {{type: table, path: out, columns: [caption]}}
"""


def encoded(count: int) -> list[bytes]:
    """Pictures of the demo's world, each another."""
    world = World(2 * count, 5)
    rows = (world.row(i) for i in range(world.rows))
    return [picture_bytes(world, row) for row in rows if row.copy == "original"][:count]


class Bare:
    """The model without a pipeline."""

    def __init__(self) -> None:
        # only now: `import pairmill` lets processors find torchvision
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.processor = AutoProcessor.from_pretrained(CAPTIONER)
        self.processor.tokenizer.padding_side = "left"
        kind = AutoModelForImageTextToText
        self.model = kind.from_pretrained(CAPTIONER, dtype=torch.float32).eval()

    def captions(self, images: list[bytes], size: int) -> None:
        torch.set_num_threads(cores())  # a stage in this process has set its own number
        turn = [{"type": "image"}, {"type": "text", "text": SHORT_PROMPT}]
        chat = [{"role": "user", "content": turn}]
        text = self.processor.apply_chat_template(chat, add_generation_prompt=True)
        for first in range(0, len(images), size):
            part = [decode_rgb(data) for data in images[first : first + size]]
            inputs = self.processor(text=[text] * len(part), images=part, return_tensors="pt")
            with torch.inference_mode():
                out = self.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
            begin = inputs["input_ids"].shape[1]
            self.processor.batch_decode(out[:, begin:], skip_special_tokens=True)


def piped(images: list[bytes], engine: str, processes: int) -> Times:
    """Of the whole run, its processes' included; of a run in this process the wall of the phase that
    captions, without opening the engine.
    """
    cpu, began = cpu_seconds(), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame({"image": images, "text": [""] * len(images)}).write_parquet(
            folder / "images.parquet"
        )
        keys = {"model": CAPTIONER, "prompt": SHORT_PROMPT, "tokens": TOKENS, "batch": BATCH}
        (folder / "pipeline.yaml").write_text(PIPELINE.format(**keys, engine=engine))
        result = Pipeline.from_yaml(folder / "pipeline.yaml").run(
            progress=False, local=True, processes=processes
        )
        whole = time.perf_counter() - began
        assert result.funnel.kept == len(images)
        alone = result.seconds["phase 1"] - result.stages["caption"]["setup_s"]
        return float(whole if processes else alone), cpu_seconds() - cpu


def cpu_seconds() -> float:
    """Of this process and those that it started and that ended."""
    return sum(os.times()[:4])


def beyond(few: Times, images: Times, part: float) -> Times:
    """Seconds of all images at the rate of those beyond the few, which are `1 / part` of them."""
    scale = part / (part - 1)
    return (images[0] - few[0]) * scale, (images[1] - few[1]) * scale


async def asked(images: list[bytes], url: str) -> None:
    """A bare client with 16 requests at a time."""
    places = asyncio.Semaphore(BATCH)

    async def one(client: openai.AsyncOpenAI, data: bytes) -> None:
        async with places:
            picture = {"type": "image_url", "image_url": {"url": data_url(decode_rgb(data))}}
            turn = {"role": "user", "content": [picture, {"type": "text", "text": SHORT_PROMPT}]}
            await client.chat.completions.create(
                model=CAPTIONER, messages=[turn], max_tokens=TOKENS, temperature=0
            )

    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
        await asyncio.gather(*(one(client, data) for data in images))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of this process."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # a quarter of them is enough for a process on each of two cores, whose start is taken off
    parser.add_argument("--images", type=int, default=2400)
    parser.add_argument("--asked", type=int, default=100)
    args = parser.parse_args()
    images, bare = encoded(args.images), Bare()
    few = images[: args.images // 4]
    part = len(images) / len(few)
    bare.captions(images[:BATCH], BATCH)
    wall, cpu = timed(lambda: bare.captions(few, 1))
    alone = (wall * part, cpu * part)
    own, every = "dtype: float32", cores()
    ways = (
        lambda: timed(lambda: bare.captions(images, BATCH)),
        lambda: piped(images, own, every),
        lambda: piped(few, own, every),
        lambda: piped(images, own, 1),
        lambda: piped(few, own, 1),
    )
    turns = [[way() for way in ways] for _ in range(2)]
    batched, large, small, large_1, small_1 = map(min, zip(*turns, strict=True))
    pipeline, single = beyond(small, large, part), beyond(small_1, large_1, part)
    print(f"{machine()}; {len(images)} pictures\n")
    print("| way | images/s | of batched | images/CPU s | of batched |")
    print("| --- | ---: | ---: | ---: | ---: |")
    names = ("one by one", "batched", "pipeline", "pipeline, in one process")
    for way, (wall, cpu) in zip(names, (alone, batched, pipeline, single), strict=True):
        print(
            f"| {way} | {len(images) / wall:.1f} | {batched[0] / wall:.2f} "
            f"| {len(images) / cpu:.1f} | {batched[1] / cpu:.2f} |"
        )
    print(f"\npipeline / one by one: {alone[0] / pipeline[0]:.1f}\n")
    some = images[: args.asked]
    with serving(CAPTIONER) as url:
        engine = f"engine: openai\n    base_url: {url}\n    concurrency: {BATCH}"
        asyncio.run(asked(some[:BATCH], url))
        both = [
            (timed(lambda: asyncio.run(asked(some, url))), piped(some, engine, 0)) for _ in "ab"
        ]
    client, ours = (min(times)[0] for times in zip(*both, strict=True))
    print("| asked | images/s | of the bare client |\n| --- | ---: | ---: |")
    print(f"| bare client | {len(some) / client:.1f} | 1.00 |")
    print(f"| engine: openai | {len(some) / ours:.1f} | {client / ours:.2f} |")


if __name__ == "__main__":
    main()
