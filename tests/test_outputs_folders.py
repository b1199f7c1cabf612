"""Packages as they lie, read by `datasets`, pandas, Polars, pyarrow, DuckDB, mlcroissant and TRL's
rules: no option, no file named.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.dataset
import pytest
from PIL import Image

from tests.everything import KINDS, ROWS, packaged, table
from tests.later import pandas

pytestmark = [  # datasets and mlcroissant leave files to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
TRUTH = {row["url"]: row for row in table().to_pylist()}
PICTURES = {"wds": "jpg", "pairs": "image", "documents": "images", "talks": "images", "lines": "images", "llava": "images"}  # fmt: skip
TYPED = ("pairs", "talks", "table")
"""Kinds whose files are Parquet with the quality columns in their types."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged(tmp_path_factory.mktemp("folders"))


@pytest.mark.parametrize("streaming", [False, True], ids=["at once", "streaming"])
@pytest.mark.parametrize("kind", KINDS)
def test_load_dataset_of_the_bare_folder(
    packages: Path, tmp_path: Path, kind: str, streaming: bool
) -> None:
    import datasets

    found = datasets.load_dataset(
        str(packages / kind), split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    rows = list(found)
    assert len(rows) == ROWS
    urls = set()
    for row in rows:
        facts = facts_of(kind, row)
        truth = TRUTH[facts["url"]]
        urls.add(facts["url"])
        assert facts["big"] == truth["big"]
        assert facts["d"] == truth["d"]
        if kind in TYPED:
            same = ("dec", "day", "ts", "dur", "tags", "info")
            assert {n: row[n] for n in same} == {n: truth[n] for n in same}
        if kind in PICTURES:
            shown = row[PICTURES[kind]]
            first = next(i for i in shown if i is not None) if isinstance(shown, list) else shown
            assert first.tobytes() == Image.open(io.BytesIO(truth["image"])).tobytes()
    assert urls == set(TRUTH)


def facts_of(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """The quality columns of a sample."""
    if kind == "wds":
        return row["json"]
    if kind == "documents":
        return next(m for m in json.loads(row["metadata"]) if m is not None)
    return row


@pytest.mark.parametrize("kind", ["pairs", "documents", "talks", "table"])
def test_bare_folders_of_parquet_for_table_readers(packages: Path, kind: str) -> None:
    import duckdb

    folder = packages / kind / "data"
    assert len(pandas.read_parquet(folder)) == ROWS
    assert pl.read_parquet(folder).height == ROWS
    assert pl.read_parquet(packages / kind / "**/*.parquet").height == ROWS
    assert pyarrow.dataset.dataset(folder).count_rows() == ROWS
    with duckdb.connect() as base:
        assert base.execute(f"SELECT count(*) FROM '{folder}/*.parquet'").fetchall() == [(ROWS,)]
        if kind in TYPED:
            largest = base.execute(f"SELECT max(big), min(dec) FROM '{folder}/*.parquet'")
            assert largest.fetchall() == [(2**63 - 1, min(r["dec"] for r in TRUTH.values()))]


def test_duckdb_and_polars_read_csv_and_json_lines(packages: Path) -> None:
    import duckdb

    with duckdb.connect() as base:
        for kind in ("csv", "jsonl"):
            found = base.execute(f"SELECT max(big) FROM '{packages}/{kind}/data/*.{kind}'")
            assert found.fetchall() == [(2**63 - 1,)]
    assert pl.scan_ndjson(packages / "jsonl/data/*.jsonl").collect()["big"].max() == 2**63 - 1


@pytest.mark.slow
def test_mlcroissant_reads_records_with_pictures(packages: Path, tmp_path: Path) -> None:
    script = Path(__file__).parent / "consumers/croissant_records.py"
    done = subprocess.run(
        [sys.executable, str(script), *(str(packages / kind) for kind in KINDS)],
        env={**os.environ, "CROISSANT_CACHE": str(tmp_path)}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    pixels = {url: hashlib.sha256(shown(row["image"])).hexdigest() for url, row in TRUTH.items()}
    for kind, found in json.loads(done.stdout.splitlines()[-1]).items():
        assert found["license"] == ["CC-BY-4.0"]
        assert found["citation"].startswith("@misc{everything")
        assert found["faults"] == []
        expected = pixels if kind in PICTURES else dict.fromkeys(pixels)
        assert dict(found["records"]) == expected, kind
        assert len(found["records"]) == ROWS


def shown(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_license_and_citation_stand_in_the_card(packages: Path) -> None:
    from huggingface_hub import DatasetCard

    for kind in KINDS:
        card = DatasetCard.load(packages / kind / "README.md")
        assert card.data.license == "cc-by-4.0"
        assert "@misc{everything, title={All}}" in card.text


def test_llama_factory_and_swift_find_as_many_tags_as_pictures(packages: Path) -> None:
    lines = [
        json.loads(line)
        for file in sorted((packages / "lines").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    assert len(lines) == ROWS
    for line in lines:
        assert {m["role"] for m in line["messages"]} == {"user", "assistant"}
        assert all(isinstance(m["content"], str) for m in line["messages"])
        tags = sum(m["content"].count("<image>") for m in line["messages"])
        assert tags == len(line["images"]) == 1
        (picture,) = line["images"]
        assert (packages / "lines" / picture).read_bytes() == TRUTH[line["url"]]["image"]


def test_llava_reads_one_file_and_a_folder_of_pictures(packages: Path) -> None:
    """As its trainer does: the picture by its name below the folder of pictures; roles in turn,
    human first; one tag a picture, on a line before the question; each answer with its own picture.
    """
    samples = json.loads((packages / "llava/00000.json").read_text())
    assert len({s["id"] for s in samples}) == ROWS
    for sample in samples:
        asked, answered = sample["conversations"]
        assert [asked["from"], answered["from"]] == ["human", "gpt"]
        assert asked["value"].split("<image>\n") == ["", "Describe the image."]
        assert "<image>" not in answered["value"]
        truth = TRUTH[sample["url"]]
        assert answered["value"] == (truth["text"] or "")
        picture = packages / "llava/images" / sample["image"]
        assert picture.read_bytes() == truth["image"]
        Image.open(picture).convert("RGB")


def test_datacomp_s_resharder_finds_what_it_reads(packages: Path) -> None:
    """Shards without a gap, `successes` in each `_stats.json`, `uid` in each sample's `.json`."""
    stats = sorted((packages / "wds").glob("*_stats.json"))
    assert [s.name for s in stats] == [f"{i:05d}_stats.json" for i in range(len(stats))]
    assert sum(json.loads(s.read_text())["successes"] for s in stats) == ROWS
