"""In float32, greedy, a caption depends on its row alone: not on the batch, the order, the shards,
an interruption, or the number of workers.
"""

import json
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from tests.conftest import CAPTIONER

WAYS = {
    "plain": {},
    "one by one": {"batch_size": 1},
    "another order": {"order": True, "rows_per_shard": 5},
    "interrupted": {"limit": 7},
    "two workers": {"processes": 2, "rows_per_shard": 6},
}


@pytest.mark.slow
def test_captions_depend_on_their_rows_alone(
    tmp_path: Path, pictures: list[tuple[bytes, str]]
) -> None:
    images = [data for data, _ in pictures[:12]]
    found = {name: captions(tmp_path / name, images, **way) for name, way in WAYS.items()}
    assert len(set(found["plain"].values())) > 6
    assert {name: one == found["plain"] for name, one in found.items()} == dict.fromkeys(WAYS, True)


def captions(
    folder: Path,
    images: list[bytes],
    batch_size: int = 16,
    rows_per_shard: int = 100,
    order: bool = False,
    limit: int | None = None,
    processes: int = 0,
) -> dict[str, str]:
    """Caption by the number of the picture."""
    folder.mkdir()
    rows = pl.DataFrame({"image": images, "text": [f"picture {i}" for i in range(len(images))]})
    rows = rows.reverse() if order else rows
    rows.write_parquet(folder / "pairs.parquet")
    stage = {
        "stage": "caption",
        "model": CAPTIONER,
        "image_processor": "pil",
        "dtype": "float32",
        "prompt": "Describe the picture in one short sentence.",
        "max_new_tokens": 24,
        "batch_size": batch_size,
        "resources": {"replicas": max(1, processes)},
    }
    source = {"type": "parquet", "path": "pairs.parquet", "rows_per_shard": rows_per_shard}
    file = folder / "p.yaml"
    file.write_text(json.dumps({"name": "values", "source": source, "stages": [stage]}))
    if limit is not None:  # what an interrupted run has stored
        Pipeline.from_yaml(file).run(progress=False, local=True, limit=limit)
    result = Pipeline.from_yaml(file).run(progress=False, local=True, processes=processes)
    return dict(result.table().select("text", "caption").iter_rows())
