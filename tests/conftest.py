"""Shared fixtures: pictures, small pools, the demo's server and models."""

import io
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for
from pairmill.demo.server import running
from pairmill.demo.show import MODELS
from pairmill.demo.texts import short_caption
from tests.ray_world import (  # noqa: F401  (fixtures)
    ray_session,
    shared_ray,
    turn_on_ray,
    without_rays_of_others,
    world,
)

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["DEMO_MODELS"] = str(MODELS)
# a test says itself where it wants worker processes, which take a second to start
os.environ["PAIRMILL_PROCESSES"] = "0"
# mlcroissant keeps what it unpacked under a tar's name alone, whichever package it came from
UNPACKED = tempfile.TemporaryDirectory(prefix="croissant-")
os.environ["CROISSANT_CACHE"] = UNPACKED.name

SEARCH = int(os.environ.get("SEARCH", "1"))
"""How often as many random examples and requests the long searches take; CI has a step with more."""

CLIP = str(MODELS / "clip")
CAPTIONER = str(MODELS / "captioner")


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


LONGEST_FIRST = (
    "cluster", "kills", "hanging", "async_stages", "chaos", "demo", "history", "serve",
    "left_behind", "download_soak", "caption_kills", "lease",
)  # fmt: skip
"""Files that take a worker half a minute or more, in the order in which they start, behind those
that share a Ray.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that open a page or start a cluster are marked: the inner loop (`make test-fast`) goes
    without.  Files with many long tests come first, so that the last ones to end are short.
    """
    long: Counter[Path] = Counter()
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if "browser" in used:
            item.add_marker(pytest.mark.browser)
        if used & {"ray_cluster", "shared_ray"}:
            item.add_marker(pytest.mark.ray)
        if item.path.stem.startswith("test_recipes_"):  # each looks at a world of its own
            item.add_marker(pytest.mark.slow)
        marks = {mark.name for mark in item.iter_markers()}
        long[item.path] += 3 * ("ray" in marks) + bool(marks & {"slow", "browser"})
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> tuple[int, int]:
        if (turn := turn_on_ray(item.nodeid)) >= 0:
            return -1, turn
        return ranks.get(item.path.stem, len(ranks)), -long[item.path]

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Which lines are reached is measured where that costs little: before Python 3.12 it makes a
    test of this process 1.4 times as long.  What tests that are marked reach beyond the others is
    not counted.  (`no_cover` of pytest-cov stops nothing in workers of xdist.)
    """
    long = any(item.get_closest_marker(name) for name in ("ray", "browser", "slow"))
    if not long or not item.config.pluginmanager.hasplugin("_cov"):
        return (yield)
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(threads)  # type: ignore[arg-type]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes stand by their name: a packed file tells the second in which it was made, and workers
    that collect in two seconds would each know other tests.
    """
    return argname if isinstance(val, bytes) else None


OPEN: list[Any] = []
"""Stages with a loop that a test has set up."""


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Closes them."""
    yield
    while OPEN:
        stage = OPEN.pop()
        if not stage.loop.is_closed():
            stage.close()


WITH_MODELS = re.compile(r"\b(torch|CLIP|CAPTIONER|datasets|tests\.(tiny|everything|later))\b")
"""What a file names that loads a model."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests on one worker, as they share fixtures; those of the longest file, which share
    none, wherever there is time; and those that share a Ray on one.  Files with models go to one
    worker as long as the others have something else to do: torch and transformers take each some
    ten seconds.
    """
    from xdist.scheduler import LoadFileScheduling

    here = Path(__file__).parent
    with_models = {
        f"tests/{f.name}" for f in here.glob("test_*.py") if WITH_MODELS.search(f.read_text())
    }

    class FilesTogether(LoadFileScheduling):
        def _assign_work_unit(self, node: Any) -> None:
            wants_models = node is self.nodes[-1]
            for scope in self.workqueue:
                if (scope.split("::")[0] in with_models) == wants_models:
                    self.workqueue.move_to_end(scope, last=False)
                    break
            super()._assign_work_unit(node)

        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            if turn_on_ray(nodeid) >= 0:
                return "Ray"
            return nodeid if file == "tests/test_kills.py" else file

    return FilesTogether(config, log) if config.getvalue("dist") == "loadfile" else None


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
    return write_pairs(tmp_path, pictures)


def write_pairs(folder: Path, pictures: list[tuple[bytes, str]]) -> Path:
    """The file of `pairs`, in a folder that several tests may share."""
    images = [pictures[i % 30][0] for i in range(40)]
    texts = [pictures[i][1] for i in range(40)]
    file = folder / "pairs.parquet"
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
    return subprocess.run(
        [sys.executable, "-m", "pairmill.cli", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **env},
    )


def typed(*args: str, cwd: Path | None = None, columns: int = 200) -> Any:
    """A command line in this process: exit code, what it prints, and what it says beside.  Starting
    one (`pairmill` above) takes a second.
    """
    from typer.testing import CliRunner

    from pairmill.cli import app
    from pairmill.console import err, out

    before, widths, beside = Path.cwd(), (out.width, err.width), err.file
    out.width = err.width = columns
    err.file = said = io.StringIO()
    os.chdir(cwd or before)
    try:
        done = CliRunner().invoke(app, args)
    finally:
        os.chdir(before)
        (out.width, err.width), err.file = widths, beside
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(
        args, done.exit_code, done.stdout, done.stderr + said.getvalue()
    )
