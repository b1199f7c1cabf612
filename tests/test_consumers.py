"""Packages, read by the programs for which they are made, each in its own environment.

`make consumers` makes the environments; without them these tests are skipped, and say so.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.consumers.environments import is_made, python_of
from tests.everything import ROWS, packaged, table

pytestmark = pytest.mark.slow
TRUTH = {row["url"]: row for row in table().to_pylist()}
CAPTIONS = sorted(row["text"] or "" for row in TRUTH.values())
SCRIPTS = Path(__file__).parent / "consumers"
MDS = """
name: everything
source: {type: parquet, path: everything.parquet}
outputs:
  - {type: mds, path: mds, samples_per_shard: 4, columns: [url, big, d, dec, ts, tags, info, mask]}
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged(tmp_path_factory.mktemp("consumers"))


def read_by(environment: str, script: str, *arguments: str | Path, **env: str) -> Any:
    """What a script of tests/consumers prints."""
    if not is_made(environment):
        pytest.skip(f"no environment of {environment}; `make consumers` makes it")
    command = [str(python_of(environment)), str(SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_open_clip_s_data_module_with_webdataset_0_2(packages: Path) -> None:
    found = read_by(
        "open_clip", "open_clip_data.py", packages / "wds/{00000..00002}.tar", str(ROWS)
    )
    assert found["webdataset"].startswith("0.2.")
    assert sorted(text for _, text in found["samples"]) == CAPTIONS
    assert {tuple(size) for size, _ in found["samples"]} == {(64, 48)}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_1(packages: Path) -> None:
    import webdataset

    assert not webdataset.__version__.startswith("0.")
    shards = [str(p) for p in sorted((packages / "wds").glob("*.tar"))]
    data = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
    found = list(data.to_tuple("jpg", "txt", "json", "scan.png"))
    assert len(found) == ROWS
    for image, text, meta, scan in found:
        assert (image.size, text) == ((64, 48), TRUTH[meta["url"]]["text"] or "")
        assert meta["big"] == TRUTH[meta["url"]]["big"]
        assert scan.size == (64, 48)


def test_energon_reads_captioning_samples_without_a_question(
    packages: Path, tmp_path: Path
) -> None:
    if not is_made("energon"):
        pytest.skip("no environment of energon; `make consumers` makes it")
    folder = tmp_path / "wds"
    shutil.copytree(packages / "wds", folder)
    energon = python_of("energon").parent / "energon"
    prepare = [energon, "prepare", "--tar-index-only", "--num-workers", "1", folder]
    subprocess.run(prepare, check=True, capture_output=True, timeout=600)
    found = read_by("energon", "energon_data.py", folder, str(ROWS))
    assert len(found) == ROWS
    assert {kind for kind, _, _ in found.values()} == {"CaptioningSample"}
    assert sorted(caption for _, caption, _ in found.values()) == CAPTIONS
    assert {tuple(shape) for _, _, shape in found.values()} == {(3, 48, 64)}


def test_mosaicml_streaming_writes_and_reads_mds(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "everything.parquet")
    (tmp_path / "mds.yaml").write_text(MDS)
    home = str(Path(__file__).parent.parent)
    found = read_by(
        "streaming", "streaming_data.py", tmp_path / "mds.yaml", tmp_path / "mds", PYTHONPATH=home
    )
    assert len(found) == ROWS
    for sample in found:
        plain = sample["plain"]
        truth = TRUTH[plain["url"]]
        assert {n: plain[n] for n in ("big", "d", "tags", "info")} == {
            n: truth[n] for n in ("big", "d", "tags", "info")
        }
        assert plain["dec"] == str(truth["dec"])
        assert plain["ts"] == truth["ts"].isoformat()
        assert plain["caption"] == (truth["text"] or "")
        assert sample["bytes"] == {"image": len(truth["image"]), "mask": len(truth["mask"] or b"")}
        assert sample["picture"] == [64, 48]


def test_trl_prepares_the_conversations(packages: Path, tmp_path: Path) -> None:
    found = read_by("trl", "trl_data.py", packages / "talks", tmp_path)
    assert len(found) == ROWS
    for parts, sizes in found:
        assert parts == [["user", ["image", "text"]], ["assistant", ["text"]]]
        assert sizes == [[64, 48]]
