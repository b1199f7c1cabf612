"""Recipes over pages and over pictures that were made, without models, against the truth."""

import json
import random
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill.api import Pipeline
from tests.conftest import jpeg

RECIPES = Path(__file__).parent.parent / "recipes"
ORNAMENT = jpeg(Image.new("RGB", (40, 40), (1, 2, 3)))
SMALL = jpeg(Image.new("RGB", (8, 8), (9, 9, 9)))


def page(number: int) -> list[dict[str, Any]]:
    """A page of two to six items, some of them ornaments, tiny pictures or texts about nothing."""
    rng = random.Random(number)
    rows = []
    for place in range(rng.randint(2, 6)):
        kind = rng.choices(("sound", "ornament", "small", "empty"), (7, 1, 1, 1))[0]
        shade = (number * 7 + place) % 256, place * 40, number % 256
        image = {"ornament": ORNAMENT, "small": SMALL}.get(
            kind, jpeg(Image.new("RGB", (32, 32), shade))
        )
        text = "photo" if kind == "empty" else f"item {place} of page {number}"
        rows.append({"doc_id": f"page{number:03d}", "position": place, "image": image,
                     "text": text, "sound": kind == "sound"})  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    rows = [row for number in range(60) for row in page(number)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pages.parquet")
    web, made = [], []
    for i in range(100):
        image = jpeg(Image.new("RGB", (24, 24), (i, 2 * i, 99)))
        web.append({"image": image, "text": f"web {i}"})
        if i < 30:
            again = jpeg(Image.new("RGB", (24, 24), (i, 99, i)))
            made.append({"image": again, "text": f"made {i}", "round": i % 3 + 1,
                         "made_of": f"made {i - 1}" if i % 3 else f"web {i}"})  # fmt: skip
    pq.write_table(pa.Table.from_pylist(web), folder / "web.parquet")
    pq.write_table(pa.Table.from_pylist(made), folder / "made.parquet")
    for name in ("obelics", "syvic"):
        shutil.copy(RECIPES / f"{name}.yaml", folder)
    return folder


def run(place: Path, name: str) -> pl.DataFrame:
    pipeline = Pipeline.from_yaml(place / f"{name}.yaml")
    return pipeline.run(local=True, processes=0, progress=False).table()


def test_obelics_pages_keep_their_order_and_lose_what_is_no_content(place: Path) -> None:
    run(place, "obelics")
    documents = pl.concat([pl.read_parquet(f) for f in (place / "obelics/data").glob("*.parquet")])
    found = {d: [t for t in texts if t] for d, texts in documents.select("doc_id", "texts").rows()}
    expected = {}
    for number in range(60):
        sound = [row["text"] for row in page(number) if row["sound"]]
        if sound:
            expected[f"page{number:03d}"] = sound
    dropped = sum(not row["sound"] for n in range(60) for row in page(n))
    print("obelics", len(found), dropped)
    assert found == expected
    assert dropped > 30
    pictures = documents["images"].list.eval(pl.element().is_not_null()).list.sum()
    assert pictures.to_list() == [len(expected[d]) for d in documents["doc_id"]]


def test_syvics_made_pictures_have_their_share_and_their_lineage(place: Path) -> None:
    run(place, "syvic")
    facts = []
    for tar in sorted((place / "syvic").glob("*.tar")):
        with tarfile.open(tar) as file:
            facts += [json.loads(file.extractfile(m).read()) for m in file
                      if m.name.endswith(".json")]  # fmt: skip
    shares = Counter(f["origin"] for f in facts)
    print("syvic", shares, Counter(f["round"] for f in facts))
    assert shares == {"web": 60, "made": 20}
    table = pq.read_table(place / "made.parquet").to_pylist()
    of = {row["text"]: row["made_of"] for row in table}
    for fact in facts:
        if fact["origin"] == "made":
            back, steps = fact["made_of"], 1
            while back.startswith("made"):
                back, steps = of[back], steps + 1
            assert steps == fact["round"] if fact["round"] < 3 else steps <= 3
        else:
            assert fact["made_of"] is None
            assert fact["round"] == 0
