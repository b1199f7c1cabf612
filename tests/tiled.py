"""A pipeline over tiles of small pictures, for tests of child tables."""

import hashlib
import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from PIL import Image

from pairmill import Stage, StageConfig, column
from pairmill.api import Pipeline
from pairmill.errors import StageBroken
from pairmill.run_result import RunResult

TILES = """
name: tiled
source: {{type: parquet, path: pairs.parquet, rows_per_shard: 4}}
stages:
  - stage: resolution
    keep: width > {wide}
  - stage: tiles
    grid: [2, 2]
    format: png
    keep: tiles_count > 0
  - each: tiles
    stages:
      - stage: tests.tiled:ShadeStage
        name: shade
        keep: shade < {shade}
    collect: [shade, box]
outputs:
  - {{type: parquet, path: out, columns: [text, shade, box]}}
  - {{type: parquet, path: parts, rows: tiles, columns: [parent_uid, place, text, box, shade]}}
  - {{type: parquet, path: dark, rows: tiles, where: place < 2, columns: [text], after: source}}
"""


class ShadeConfig(StageConfig):
    image: str = "image"


class ShadeStage(Stage):
    """The red of a picture's first pixel."""

    Config = ShadeConfig
    prefix = "shade"
    flush_s = 0.0
    seen: ClassVar[list[bytes]] = []
    stop_after: ClassVar[int | None] = None

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int32(), "red")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        images = rows[self.config.image].to_pylist()
        self.seen += images
        if self.stop_after is not None and len(self.seen) > self.stop_after:
            raise StageBroken("stopped here")
        return pa.table([[shade_of(image) for image in images]], schema=self.writes())


def shade_of(image: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))[0, 0, 0])


def pictures_in(folder: Path, count: int, wide: int = 40) -> None:
    """Pictures whose four quarters have shades of their own; every third is small."""
    images = []
    for i in range(count):
        pixels = np.zeros((20, wide if i % 3 else 20, 3), np.uint8)
        for quarter in range(4):
            down, across = divmod(quarter, 2)
            half = pixels.shape[1] // 2
            pixels[down * 10 :, across * half :, 0] = 10 * (i % 5) + quarter
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        images.append(out.getvalue())
    frame = pl.DataFrame({"image": images, "text": [f"text {i}" for i in range(count)]})
    frame.write_parquet(folder / "pairs.parquet")


def table_of(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "**/*.parquet")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of a package's files, but for those that name the run's day or place."""
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*.parquet"))
    }


def run_tiles(folder: Path, wide: int = 30, shade: int = 42, **sets: str) -> RunResult:
    """Runs TILES in a folder; ShadeStage.seen holds what it computed."""
    file = folder / "pipeline.yaml"
    file.write_text(TILES.format(wide=wide, shade=shade))
    ShadeStage.seen.clear()
    return Pipeline.from_yaml(file, sets).run(progress=False, write_report=False, replace=True)
