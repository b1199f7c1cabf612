"""The parts of benchmarks/gpu.py."""

import contextlib
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import real_sizes
import torch
from feeding import jpegs
from transformers import AutoProcessor

from pairmill.api import Pipeline
from pairmill.images import decode_rgb
from pairmill.models.decoders import Decoders
from pairmill.models.fast_pixels import fast_pixels

WORDS = "the quick brown fox jumps over the lazy dog"
"""Eleven tokens of the toy tokenizer."""
TOKENS, SPREAD, MOST = 11, 0.65, 75
"""Texts are as long as alt texts are: half below so many tokens, one in forty above 40."""


def texts(count: int) -> list[str]:
    """Each another, of many lengths."""
    rng = np.random.default_rng(5)
    lengths = rng.lognormal(np.log(TOKENS), SPREAD, count).clip(2, MOST) / 11 * len(WORDS)
    whole = f"{WORDS} " * 8
    return [f"{i} {whole[:length]}" for i, length in enumerate(lengths.astype(int))]


@dataclass
class Bench:
    """Where the models are, and how large they are to be."""

    scratch: Path
    tiny: bool
    gpu: bool = field(default_factory=torch.cuda.is_available)
    ceiling: float = 0.0
    """bf16 TFLOP/s of a large matrix product."""

    def __post_init__(self) -> None:
        self.device = "cuda" if self.gpu else "cpu"
        self.pictures = jpegs(256, 256, 64)

    def few(self, many: int) -> int:
        """So many, or few of them where all is tiny."""
        return min(many, 64) if self.tiny else many

    def images(self, count: int) -> list[bytes]:
        return (self.pictures * (count // len(self.pictures) + 1))[:count]

    def rows(self, count: int) -> pa.Table:
        return pa.table({"image": self.images(count), "text": texts(count)})

    def clip(self, name: str) -> str:
        name = "tiny" if self.tiny else name
        place = self.scratch / f"clip-{name.replace('/', '')}"
        if not place.exists():
            real_sizes.clip(place, name, self.device)
        return str(place)

    def qwen(self) -> str:
        place = self.scratch / "qwen"
        if not place.exists():
            real_sizes.qwen(place, self.tiny, self.device)
        return str(place)


def sync() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], times: int = 3) -> float:
    """The median of some calls after a first one."""
    work()
    took = []
    for _ in range(times):
        sync()
        start = time.perf_counter()
        work()
        sync()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


@contextlib.contextmanager
def busy() -> Iterator[list[float]]:
    """Filled at the end with the share of time in which a kernel ran, as the driver tells it."""
    found: list[float] = []
    if not torch.cuda.is_available():
        yield found
        return
    samples: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            samples.append(torch.cuda.utilization())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        found.append(round(statistics.mean(samples) / 100, 3) if samples else 0.0)


def ceiling(bench: Bench) -> dict[str, Any]:
    side = 512 if bench.tiny else 8192
    a, b = (torch.randn(side, side, dtype=torch.bfloat16, device=bench.device) for _ in "ab")
    bench.ceiling = 2 * side**3 / seconds(lambda: a @ b, 10) / 1e12
    found = {"bf16 matrix TFLOP/s": round(bench.ceiling, 1)}
    if bench.gpu:
        pinned = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
        found["pinned upload GB/s"] = round(0.268 / seconds(lambda: pinned.cuda()), 1)
    return found


def decoding(bench: Bench) -> dict[str, Any]:
    """Pictures a second: one thread, and many; and processes, which make them ready, too."""
    images = bench.images(bench.few(2048))
    found = {}
    for threads in (1, 4, 15):
        with ThreadPoolExecutor(threads) as pool:
            parts = [images[i : i + 16] for i in range(0, len(images), 16)]

            def work(parts: Any = parts, pool: Any = pool) -> None:
                list(pool.map(lambda part: [decode_rgb(d) for d in part], parts))

            found[f"{threads} threads"] = round(len(images) / seconds(work, 1))
    processor = AutoProcessor.from_pretrained(bench.clip("B/32")).image_processor
    fast: Any = fast_pixels(processor)
    for count in (1, 4 if bench.tiny else 15):
        decoders = Decoders(count, fast, fast.shape, 2048)
        pool = ThreadPoolExecutor(count)
        block: Any = decoders.block(len(images))

        def apart(pool: Any = pool, decoders: Any = decoders, block: Any = block) -> None:
            firsts = range(0, len(images), 16)
            list(pool.map(lambda i: decoders.decode(images[i : i + 16], block, i), firsts))

        found[f"{count} processes, ready for the model"] = round(len(images) / seconds(apart, 1))
        decoders.close()
    return found


def written(bench: Bench, stages: str, count: int, label: str) -> Path:
    """A pipeline over a Parquet file of encoded images, in a folder of its own."""
    place = bench.scratch / f"run-{label}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    uids = [f"{i:08d}" for i in range(count)]
    pq.write_table(bench.rows(count).append_column("uid", [uids]), place / "in.parquet")
    file = place / "p.yaml"
    file.write_text(
        f"name: bench\nsource: {{type: parquet, path: in.parquet}}\nstages:\n{stages}outputs: []\n"
    )
    return file


def measured(file: Path, count: int) -> dict[str, Any]:
    """A whole run in this process, from the file's images to stored columns."""
    with busy() as share:
        start = time.perf_counter()
        result = Pipeline.from_yaml(file).run(local=True, progress=False)
        wall = time.perf_counter() - start
        setup = {name: told["setup_s"] for name, told in result.stages.items()}
        return {
            "rows": count, "kept": result.funnel.kept, "wall s": round(wall, 2),
            "seconds": result.seconds, "setup s": setup, "busy": share,
            "rows/s, loading aside": round(count / (result.seconds["phase 1"] - sum(setup.values()))),
        }  # fmt: skip


def pipeline(bench: Bench, stages: str, count: int, label: str) -> dict[str, Any]:
    """As `measured`, of these stages."""
    return measured(written(bench, stages, count, label), count)


def runs(bench: Bench) -> dict[str, Any]:
    """Encoded JPEG to stored score."""
    found = {}
    for name, compiled in (("L/14", True), ("B/32", True)):
        stage = (
            f"  - {{stage: clip, model: {bench.clip(name)}, batch_size: 512, device: {bench.device}, "
            f"compile: {str(compiled).lower()}, resources: {{cpus: 15}}}}\n"
        )
        label = f"{name} compiled" if compiled else name
        found[label] = pipeline(bench, stage, bench.few(30_000), label.replace("/", ""))
    return found
