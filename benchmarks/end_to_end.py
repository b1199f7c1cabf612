"""The image job from end to end beside Daft and Ray Data alone: download from a local server,
256 px, the demo's CLIP, Parquet.

    python benchmarks/end_to_end.py [--rows 3000] [--times 1] [--peer PYTHON] [--who pairmill,…]

`--peer` is the interpreter of an environment of its own with the peers and what a model needs:
`pip install daft==0.7.26 "ray[data]" torch transformers pillow pyarrow requests`.  Each is a process
of its own, start-up included; the same model class, batch size and threads.  `pairmill` runs on its
worker processes, `pairmill-ray` on a Ray of its own.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.columnar import Figure, measured, median
from benchmarks.measuring import machine

HERE = Path(__file__).parent
MODEL = HERE.parent / "pairmill/demo/models/clip"
WHO = ("pairmill", "daft", "pairmill-ray", "ray-data")
GOALS = {"daft": ("pairmill", 1.3), "ray-data": ("pairmill-ray", 1.5)}
PIPELINE = """
name: end_to_end
source: {{type: pairs, path: {list}}}
stages:
  - stage: download
    image_size: 256
    skip_reencode: false
    host_connections: 128
    allow_private_hosts: [127.0.0.1]
  - {{stage: clip, model: {model}, dtype: float32, batch_size: 64}}
outputs:
  - {{type: parquet, path: {out}}}
"""
COMMON = """
import io, os, sys
source, target, model_folder = sys.argv[1:]
import torch
from PIL import Image
from transformers import AutoProcessor, CLIPModel  # here: two of Daft's threads may import at once

def small(data):
    image = Image.open(io.BytesIO(data))
    scale = 256 / min(image.size)
    image.draft("RGB", (int(image.width * scale), int(image.height * scale)))
    image = image.convert("RGB").resize(
        (round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()

class Clip:
    def __init__(self):
        torch.set_num_threads(int(os.environ["THREADS"]))
        self.model = CLIPModel.from_pretrained(model_folder).eval()
        self.processor = AutoProcessor.from_pretrained(model_folder)

    def scores(self, images, texts):
        pictures = [Image.open(io.BytesIO(i)).convert("RGB") for i in images]
        inputs = self.processor(text=texts, images=pictures, return_tensors="pt", padding=True,
                                truncation=True)
        with torch.inference_mode():
            found = self.model(**inputs)
        return (found.image_embeds * found.text_embeds).sum(-1).tolist()
"""
PEERS = {
    "daft": COMMON
    + """
import daft
from daft import col, DataType
from daft.functions import download

@daft.func(return_dtype=DataType.binary())
def resized(data: bytes):
    return small(data)

@daft.cls(max_concurrency=1)  # one model, on all cores
class Scorer:
    def __init__(self):
        self.clip = Clip()

    @daft.method.batch(return_dtype=DataType.float32(), batch_size=64)
    def score(self, images, texts):
        return self.clip.scores(images.to_pylist(), texts.to_pylist())

scorer = Scorer()
(daft.read_parquet(source).into_batches(64)
 .with_column("raw", download(col("url"), max_connections=64, on_error="null"))
 .where(col("raw").not_null())
 .with_column("image", resized(col("raw"))).exclude("raw")
 .with_column("clip_score", scorer.score(col("image"), col("text")))
 .write_parquet(target))
""",
    "ray-data": COMMON
    + """
import ray, requests
from concurrent.futures import ThreadPoolExecutor
import pyarrow as pa
ray.init(logging_level="ERROR", include_dashboard=False)

def fetched(batch):
    with requests.Session() as session, ThreadPoolExecutor(32) as threads:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))
        raw = list(threads.map(lambda u: session.get(u, timeout=30).content,
                               batch.column("url").to_pylist()))
    return batch.append_column("image", pa.array([small(r) for r in raw], pa.binary()))

class Scored(Clip):
    def __call__(self, batch):
        scores = self.scores(batch.column("image").to_pylist(), batch.column("text").to_pylist())
        return batch.append_column("clip_score", pa.array(scores, pa.float32()))

(ray.data.read_parquet(source, override_num_blocks=12)
 .map_batches(fetched, batch_size=250, batch_format="pyarrow")
 .map_batches(Scored, batch_size=64, batch_format="pyarrow", concurrency=1)
 .write_parquet(target))
""",
}


def command(who: str, folder: Path, source: Path, peer: str) -> list[str]:
    """What runs one of them, with the target `folder`/out."""
    if who in PEERS:
        threads = f"THREADS={os.cpu_count()}"
        return [
            "env",
            threads,
            peer,
            "-c",
            PEERS[who],
            str(source),
            str(folder / "out"),
            str(MODEL),
        ]
    file = folder / "p.yaml"
    file.write_text(PIPELINE.format(list=source, model=MODEL, out=folder / "out"))
    way = "--ray" if who == "pairmill-ray" else "--local"
    return [sys.executable, "-m", "pairmill", "run", str(file), way, "--no-report"]


def run(who: str, source: Path, rows: int, peer: str) -> Figure:
    """Raises SystemExit where not every row came out."""
    import polars as pl

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figure = measured(command(who, folder, source, peer), folder)
        found = pl.scan_parquet(folder / "out/**/*.parquet").select(pl.len()).collect().item()
        if found != rows:
            raise SystemExit(f"{who} wrote {found} of {rows} rows")
    return figure


@contextlib.contextmanager
def server() -> Iterator[int]:
    """The port of a picture server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "picture_server.py")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def ready(who: list[str], peer: str) -> list[str]:
    """Those that can run here; of the others it is said what is missing."""
    found = []
    for name in who:
        module = {"daft": "daft", "ray-data": "ray.data"}.get(name)
        needs = f"import {module}, torch, transformers, PIL, requests"
        if module is None or (
            peer and not subprocess.run([peer, "-c", needs], capture_output=True).returncode
        ):
            found.append(name)
        else:
            why = f"{peer} does not import {module} and the model's libraries" if peer else "--peer"
            print(f"{name} is left out ({why} is missing): see --help for its environment")
    return found


def row(name: str, rows: int, f: Figure) -> str:
    """A line of the table."""
    return f"| {name} | {rows / f.wall_s:.1f} | {rows / f.cpu_s:.1f} | {f.peak_mb:,.0f} |"


def main() -> None:
    import polars as pl

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3_000)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--peer", default="")
    parser.add_argument("--who", default=",".join(WHO))
    args = parser.parse_args()
    print(f"{machine()}; {args.rows:,} images, median of {args.times}\n")
    with tempfile.TemporaryDirectory() as name, server() as port:
        source = Path(name) / "list.parquet"
        urls = [f"http://127.0.0.1:{port}/{i}.jpg?row={i}" for i in range(args.rows)]
        texts = [f"a picture of thing number {i % 300}" for i in range(args.rows)]
        pl.DataFrame({"url": urls, "text": texts}).write_parquet(source)
        who = ready(args.who.split(","), args.peer)
        runs: dict[str, list[Figure]] = {name: [] for name in who}
        for _ in range(args.times):
            for name in who:
                try:
                    figure = run(name, source, args.rows, args.peer)
                except SystemExit as failed:
                    print(f"{name} failed: …{str(failed)[-200:]}", flush=True)
                    continue
                runs[name].append(figure)
                print(row(name, args.rows, figure), flush=True)
    figures = {name: median(each) for name, each in runs.items() if each}
    print("\n| | images/s | images per CPU-s | peak MB |\n| --- | ---: | ---: | ---: |")
    for name, figure in figures.items():
        print(row(name, args.rows, figure))
    for peer, (own, goal) in GOALS.items():
        if peer in figures and own in figures:
            a, b = figures[own], figures[peer]
            print(
                f"\n{own} / {peer}: {b.wall_s / a.wall_s:.2f} by wall (goal {goal}), "
                f"{b.cpu_s / a.cpu_s:.2f} by CPU, memory {a.peak_mb / b.peak_mb:.2f}"
            )


if __name__ == "__main__":
    main()
