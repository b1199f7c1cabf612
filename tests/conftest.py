"""Shared fixtures: pictures, small pools, the demo's server and models."""

import io
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for
from pairmill.demo.server import running
from pairmill.demo.show import MODELS
from pairmill.demo.texts import short_caption
from tests.ray_world import ray_session, world  # noqa: F401  (fixtures)

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["DEMO_MODELS"] = str(MODELS)
# a test says itself where it wants worker processes, which take a second to start
os.environ["PAIRMILL_PROCESSES"] = "0"
# mlcroissant keeps what it unpacked under a tar's name alone, whichever package it came from
UNPACKED = tempfile.TemporaryDirectory(prefix="croissant-")
os.environ["CROISSANT_CACHE"] = UNPACKED.name

CLIP = str(MODELS / "clip")
CAPTIONER = str(MODELS / "captioner")


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that open a page or start a cluster are marked: the inner loop (`make test-fast`) goes
    without.  Files with many long tests come first, so that the last ones to end are short.
    """
    long: Counter[Path] = Counter()
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if "browser" in used:
            item.add_marker(pytest.mark.browser)
        if used & {"ray_cluster", "ray_session"}:
            item.add_marker(pytest.mark.ray)
        marks = {mark.name for mark in item.iter_markers()}
        long[item.path] += 3 * ("ray" in marks) + bool(marks & {"slow", "browser"})
    items.sort(key=lambda item: -long[item.path])


@pytest.fixture(scope="session")
def pictures() -> list[tuple[bytes, str]]:
    """40 drawn scenes as (JPEG, English caption)."""
    found = []
    for i in range(40):
        scene = random_scene(rng_for("test", i))
        found.append((jpeg(render(scene, 240 + i, 200, rng_for("draw", i))), short_caption(scene)))
    return found


@pytest.fixture
def pairs(tmp_path: Path, pictures: list[tuple[bytes, str]]) -> Path:
    """A Parquet of 40 images and captions; rows 30 to 39 repeat the images of rows 0 to 9."""
    images = [pictures[i % 30][0] for i in range(40)]
    texts = [pictures[i][1] for i in range(40)]
    file = tmp_path / "pairs.parquet"
    pl.DataFrame(
        {"image": images, "text": texts, "url": [f"http://example.test/{i}.jpg" for i in range(40)]}
    ).write_parquet(file)
    return file


@pytest.fixture
def numbers(tmp_path: Path, pictures: list[tuple[bytes, str]]) -> Path:
    """One document of 60 rows, so that `position` counts; shards of 20 would cut it, so rows are
    documents by tens.
    """
    frame = pl.DataFrame(
        {
            "image": [pictures[0][0]] * 60,
            "text": [f"text {i}" for i in range(60)],
            "uid": [f"u{i:02d}" for i in range(60)],
            "number": range(60),
        }
    )
    frame.write_parquet(tmp_path / "numbers.parquet")
    return tmp_path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a pipeline file beside the data."""

    def made(text: str, name: str = "pipeline.yaml") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return made


@pytest.fixture(scope="session")
def web() -> Iterator[dict[str, str]]:
    """The demo's web, 1,500 rows; gives the `resolve` map."""
    with running(1500, 0) as resolve:
        yield resolve


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """The real photographs that scikit-image and scikit-learn bring along, as JPEG."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    arrays = [
        data.astronaut(),
        data.chelsea(),
        data.coffee(),
        data.rocket(),
        *load_sample_images().images,
    ]
    return [jpeg(Image.fromarray(a)) for a in arrays]


def table(**columns: object) -> pa.Table:
    return pa.table(columns)


def pairmill(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does."""
    import sys

    return subprocess.run(
        [sys.executable, "-m", "pairmill.cli", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **env},
    )
