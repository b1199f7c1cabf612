"""Curricula: training stages as several packages with a mixture each, soft weights, levels and
repeats as columns, and blurred faces, read back as a training reader reads them.
"""

import io
import json
import random
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pairmill.api import Pipeline
from tests.conftest import jpeg

PIPELINE = """
name: curriculum
workspace: w
source: {type: parquet, path: in.parquet, rows_per_shard: 32}
stages:
  - {stage: derive, name: weight, expression: 1 - noise}
  - {stage: derive, name: level, expression: "CASE WHEN noise < 0.3 THEN 'easy' ELSE 'hard' END"}
  - {stage: mix, name: first, by: [kind], shares: {pairs: 3, documents: 1}, budget: 80,
     max_repeats: 2}
  - {stage: mix, name: second, by: [kind], shares: {pairs: 1, documents: 1}, budget: 60,
     max_repeats: 2}
outputs:
  - {type: webdataset, path: stage-1, where: first_repeats > 0, repeats: first_repeats,
     order: [{by: level, groups: [easy, hard]}, noise], columns: [uid, kind, weight, level, noise]}
  - {type: parquet, path: stage-2, where: second_repeats > 0, repeats: second_repeats,
     columns: [uid, kind, weight, level]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame]:
    """Two stages of a curriculum, and the rows they were made from."""
    folder, rng = tmp_path_factory.mktemp("curriculum"), random.Random(0)
    picture = jpeg(Image.new("RGB", (8, 8), (9, 99, 9)))
    rows = pl.DataFrame(
        {
            "uid": [f"u{i:03d}" for i in range(150)],
            "image": [picture] * 150,
            "text": [f"text {i}" for i in range(150)],
            "kind": ["documents" if i % 5 == 0 else "pairs" for i in range(150)],
            "noise": [round(rng.random(), 3) for _ in range(150)],
        }
    )
    rows.write_parquet(folder / "in.parquet")
    (folder / "p.yaml").write_text(PIPELINE)
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, processes=0, progress=False)
    return folder, rows


def members(folder: Path, end: str) -> list[bytes]:
    """The files of a package that end so, in order."""
    found = []
    for tar in sorted(folder.glob("*.tar")):
        with tarfile.open(tar) as file:
            found += [file.extractfile(m).read() for m in file if m.name.endswith(end)]
    return found


def read(folder: Path) -> list[dict[str, Any]]:
    """What a package says of its samples, in order."""
    return [json.loads(data) for data in members(folder, ".json")]


def test_each_training_stage_has_its_mixture_and_tells_it(
    made: tuple[Path, pl.DataFrame],
) -> None:
    folder, _ = made
    first = Counter(s["kind"] for s in read(folder / "stage-1"))
    second = pl.concat([pl.read_parquet(f) for f in (folder / "stage-2/data").glob("*.parquet")])
    assert first == {"pairs": 60, "documents": 20}
    assert Counter(second["kind"]) == {"pairs": 30, "documents": 30}
    for name, shares in (("stage-1", (0.75, 0.25)), ("stage-2", (0.5, 0.5))):
        manifest = json.loads((folder / name / "manifest.json").read_text())
        groups = manifest["selection"]["mixture"]["groups"]
        assert tuple(groups[k]["requested"] for k in ("pairs", "documents")) == shares
        assert tuple(groups[k]["achieved"] for k in ("pairs", "documents")) == shares
    assert "order" in json.loads((folder / "stage-1/manifest.json").read_text())["selection"]


def test_a_reader_meets_the_easy_ones_first_with_their_weights(
    made: tuple[Path, pl.DataFrame],
) -> None:
    folder, rows = made
    samples, noise = read(folder / "stage-1"), dict(rows.select("uid", "noise").iter_rows())
    met = [(s["level"] != "easy", noise[s["uid"]]) for s in samples]
    assert met == sorted(met)
    assert {hard for hard, _ in met} == {False, True}
    for sample in samples:
        assert sample["weight"] == pytest.approx(1 - noise[sample["uid"]])
        assert sample["level"] == ("easy" if noise[sample["uid"]] < 0.3 else "hard")


def test_faces_leave_blurred(tmp_path: Path) -> None:
    """The stage's picture is the package's, where the output names it."""
    photo = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    pl.DataFrame({"image": [jpeg(photo)], "text": ["an astronaut"]}).write_parquet(
        tmp_path / "in.parquet"
    )
    (tmp_path / "p.yaml").write_text("""
name: faces
source: {type: parquet, path: in.parquet}
stages:
  - {stage: faces, blur: true, format: png}
outputs:
  - {type: webdataset, path: out, image: faces_image}
""")
    Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, processes=0, progress=False)
    (data,) = members(tmp_path / "out", ".png")
    left = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    before = np.asarray(Image.open(io.BytesIO(jpeg(photo)))).astype(int)
    assert np.abs(left - before)[100:130, 200:250].mean() > 5  # her eyes
    assert np.array_equal(left[300:], before[300:])
