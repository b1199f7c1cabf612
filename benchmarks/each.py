"""What an `each` block costs beside the work itself: CPU seconds over tiles against a bare loop.

    python benchmarks/each.py [--rows 1500]

Both read pictures from one Parquet file, cut each into four tiles, and score every tile with the
demo's CLIP against its page's text.  The loop calls the stages in one process; pairmill runs the
pipeline without Ray, keeps tiles by a gate, brings their scores back, and writes tables of both.
CPU time is that of the process and its children; a run over few rows is taken off, so that start-up
stays apart.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

CLIP = Path(__file__).parent.parent / "pairmill/demo/models/clip"
FEW = 64
SIDE_PX = 512
PIPELINE = """
name: each
source: {{type: parquet, path: {file}}}
stages:
  - {{stage: tiles, grid: [2, 2]}}
  - each: tiles
    stages:
      - {{stage: clip, name: part, model: {clip}, batch_size: 64, keep: part_score > 0.0}}
    collect: [part_score]
outputs:
  - {{type: table, path: out, columns: [text, part_score, tiles_kept]}}
  - {{type: table, path: parts, rows: tiles, columns: [text, place, part_score]}}
report: none
"""
LOOP = """
import sys
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.stages.tiles import TilesConfig, TilesStage
cut, score = TilesStage(TilesConfig(grid=[2, 2])), ClipStage(ClipConfig(model=sys.argv[2]))
cut.setup(), score.setup()
done = 0
for part in pq.ParquetFile(sys.argv[1]).iter_batches(256):
    rows = pa.Table.from_batches([part])
    tiles = cut(rows.select(["image"]))["tiles"].combine_chunks()
    flat, of = pc.list_flatten(tiles), pc.list_parent_indices(tiles)
    every = pa.table({"image": pc.struct_field(flat, "image"), "text": rows["text"].take(of)})
    for at in range(0, every.num_rows, 64):
        done += len(score(every.slice(at, 64))["clip_score"])
assert done % 4 == 0 and done
"""


def write_pictures(file: Path, rows: int) -> None:
    """Noise under large shapes, so that JPEG and the resize have work to do."""
    rng = np.random.default_rng(rows)
    images = []
    for _ in range(rows):
        small = rng.integers(0, 255, (16, 16, 3), np.uint8)
        picture = Image.fromarray(small).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        place = file.parent / "picture.jpg"
        picture.save(place, quality=90)
        images.append(place.read_bytes())
    texts = [f"a photo of picture number {i} on a sunny day" for i in range(rows)]
    pl.DataFrame({"image": images, "text": texts}).write_parquet(file)


def cpu_s(command: list[str]) -> float:
    """CPU seconds of a command and all it starts."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return float(usage.ru_utime + usage.ru_stime)


def main() -> None:
    """Prints the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_500)
    args = parser.parse_args()
    found: dict[str, list[float]] = {"loop": [], "pairmill": []}
    with tempfile.TemporaryDirectory() as name:
        for rows in (FEW, args.rows):
            folder = Path(name) / str(rows)
            folder.mkdir()
            file, pipeline = folder / "pairs.parquet", folder / "pipeline.yaml"
            write_pictures(file, rows)
            pipeline.write_text(PIPELINE.format(file=file, clip=CLIP))
            ours = [sys.executable, "-m", "pairmill", "run", str(pipeline), "--local"]
            found["loop"].append(cpu_s([sys.executable, "-c", LOOP, str(file), str(CLIP)]))
            found["pairmill"].append(cpu_s([*ours, "--processes", "0"]))
    for who, (few, many) in found.items():
        print(f"{who:9} {FEW} rows: {few:.1f} CPU s; {args.rows} rows: {many:.1f} CPU s")
    net = {who: many - few for who, (few, many) in found.items()}
    print(f"pairmill / loop, beside start-up: {net['pairmill'] / net['loop']:.3f} (goal: 1.25)")


if __name__ == "__main__":
    main()
