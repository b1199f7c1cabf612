"""A neighbour index as an output, and the command that asks it."""

import io
import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.demo.show import MODELS
from pairmill.errors import PipelineFileError, RunError
from pairmill.outputs.faiss_index import neighbour_index
from pairmill.terminal.searching import search

PIPELINE = f"""
name: near
workspace: workspace
source: {{type: parquet, path: pairs.parquet}}
stages:
  - {{stage: embed, model: {MODELS / "clip"}}}
outputs:
  - {{type: index, path: near, samples_per_shard: 15, shuffle: false}}
  - {{type: table, path: plain, columns: [uid]}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[bytes, str]]) -> Path:
    """A folder with a package of 40 rows that has an index, and one that has none."""
    folder = tmp_path_factory.mktemp("index")
    columns = {
        "image": [p for p, _ in pictures],
        "text": [t for _, t in pictures],
        "url": [f"http://example.test/{i}.jpg" for i in range(len(pictures))],
    }
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    (folder / "asked.jpg").write_bytes(pictures[7][0])
    (folder / "p.yaml").write_text(PIPELINE)
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    return folder


def asked(place: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["search", *(w.replace("@", f"{place}/") for w in words)])


def test_the_package_is_as_laions_readers_expect_it(place: Path) -> None:
    package = place / "near"
    images, texts = (
        np.concatenate([np.load(f) for f in sorted((package / kind).glob("*.npy"))])
        for kind in ("img_emb", "text_emb")
    )
    metadata = pl.concat(
        [pl.read_parquet(f) for f in sorted((package / "metadata").glob("*.parquet"))]
    )
    assert images.shape == texts.shape == (40, 128)
    assert images.dtype == np.float16
    assert (
        metadata["caption"].to_list() == pq.read_table(place / "pairs.parquet")["text"].to_pylist()
    )
    index = faiss.read_index(str(package / "image.index"))
    cosines, numbers = index.search(images[:3].astype(np.float32), 4)
    products = images[:3].astype(np.float32) @ images.astype(np.float32).T
    assert numbers.tolist() == np.argsort(-products, axis=1)[:, :4].tolist()
    assert cosines[:, 0] == pytest.approx(1, abs=2e-3)
    told = json.loads((package / "manifest.json").read_text())["index"]
    assert {side: told[side]["metric"] for side in told} == dict.fromkeys(
        ("image", "text"), "inner product"
    )
    assert told["image"] | {"dim": 128, "rows": 40, "recall": 1.0, "kind": "exact"} == told["image"]
    assert told["image"]["model"] == str(MODELS / "clip")


def test_search_shows_the_rows_nearest_to_a_text_and_to_a_picture(place: Path) -> None:
    found = asked(place, "@near", "@asked.jpg", "a red ball", "-n", "3", "--json")
    rows = json.loads(found.stdout)
    assert [(r["query"], r["rank"]) for r in rows] == [
        (q, rank) for q in (f"{place}/asked.jpg", "a red ball") for rank in (1, 2, 3)
    ]
    seen = pq.read_table(place / "pairs.parquet")
    assert rows[0]["url"] == seen["url"][7].as_py()
    assert rows[0]["caption"] == seen["text"][7].as_py()
    assert rows[0]["similarity"] > 0.99 > rows[1]["similarity"] >= rows[2]["similarity"]
    texts = asked(place, "@near", seen["text"][5].as_py(), "--in", "text", "-n", "1", "--json")
    assert json.loads(texts.stdout)[0]["caption"] == seen["text"][5].as_py()


def test_search_writes_a_file_and_a_table(place: Path) -> None:
    found = asked(place, "@near", "a red ball", "--to", "@found.csv")
    assert found.exit_code == 0
    assert "similarity" in found.stdout
    assert pl.read_csv(place / "found.csv").height == 10


@pytest.mark.parametrize(
    ("package", "side", "model", "said"),
    [
        ("plain", None, None, r"has no index \(table\); add an output"),
        ("nothing", None, None, "is no package of pairmill"),
        ("near", "sound", None, "has no index of sounds, only of images, texts"),
        ("near", None, "/gone/model", "is not there: /gone/model"),
    ],
)
def test_what_cannot_be_searched_says_why(
    place: Path, package: str, side: str | None, model: str | None, said: str
) -> None:
    with pytest.raises(RunError, match=said):
        search(str(place / package), ["a ball"], 3, side, model)
    assert asked(place, "@plain", "a ball").exit_code == 2


def test_an_index_of_what_has_no_embeddings_is_a_fault_of_the_file(place: Path) -> None:
    (place / "bad.yaml").write_text(PIPELINE.replace(", path: near,", ", path: bad, image: url,"))
    with pytest.raises(PipelineFileError, match="'url' is string, not embeddings"):
        Pipeline.from_yaml(place / "bad.yaml")
    lines = [line for line in PIPELINE.splitlines() if "embed" not in line]
    (place / "bad.yaml").write_text("\n".join(lines).replace("stages:", "stages: []"))
    with pytest.raises(PipelineFileError, match="needs a column of embeddings"):
        Pipeline.from_yaml(place / "bad.yaml")


def test_cells_reach_the_recall_that_is_asked_for_and_say_which_they_reach() -> None:
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(50, 24))
    rows = (topics[rng.integers(0, 50, 3000)] + rng.normal(size=(3000, 24))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    parts = [lambda a=a: rows[a : a + 1000].astype(np.float16) for a in (0, 1000, 2000)]
    made = neighbour_index(parts, cells=50, recall=0.9)
    assert made.data == neighbour_index(parts, cells=50, recall=0.9).data
    index = faiss.read_index(faiss.PyCallbackIOReader(io.BytesIO(made.data).read))
    asked_for = rows[::15]
    _, numbers = index.search(asked_for, 11)
    truth = np.argsort(-(asked_for @ rows.T), axis=1)[:, :11]
    hits = [len(set(a) & set(b)) - 1 for a, b in zip(numbers.tolist(), truth.tolist(), strict=True)]
    assert 0.9 <= made.facts["recall"] < 1
    assert sum(hits) / (10 * len(hits)) == pytest.approx(made.facts["recall"], abs=0.02)
    assert 1 < made.facts["probes"] < 50
