"""Faults that are found before a run computes anything."""

from pathlib import Path

import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.pipeline.preflight import unusable

FILE = """
name: early
workspace: w
source: {{type: pairs, path: in.csv}}
stages:
  - {{stage: sample, resources: {{gpus: {gpus}}}}}
"""


def started(folder: Path, gpus: object = 0) -> None:
    (folder / "in.csv").write_text("url,text\nhttp://a.test/1,one\n")
    (folder / "p.yaml").write_text(FILE.format(gpus=gpus))
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)


def test_workspace_that_is_a_file_is_told_before_the_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    with pytest.raises(RunError, match="workspace: .*w is a file; name a folder"):
        started(tmp_path)


def test_place_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "is no folder" in (unusable(str(tmp_path / "taken" / "below")) or "")
    assert "is a file" in (unusable(f"file://{tmp_path}/taken") or "")
    assert unusable(str(tmp_path / "new" / "folder")) is None
    assert unusable("s3://bucket/folder") is None


@pytest.mark.slow
def test_gpus_that_the_machine_lacks_are_told_before_work(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'sample' asks for 64 GPU, and torch sees \d"):
        started(tmp_path, gpus=64)
    with pytest.raises(RunError, match=r"'sample' asks for 32 times 0\.5 GPU, and torch"):
        started(tmp_path, gpus="0.5, replicas: 32")
    assert not (tmp_path / "w" / "tables").exists()
