"""Faults that are found before a run computes anything."""

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import ValidationError

from pairmill.api import Pipeline
from pairmill.demo.show import MODELS
from pairmill.errors import RunError
from pairmill.pipeline.preflight import unusable
from pairmill.schemas.config import Resources
from tests.conftest import pairmill, typed

FILE = """
name: early
workspace: w
source: {{type: pairs, path: in.csv}}
stages:
  - {{stage: sample, resources: {{gpus: {gpus}}}}}
outputs:
  - {{type: table, path: out}}
"""
LARGE = """
name: large
source: {type: pairs, path: in.csv}
stages:
  - {stage: download}
  - {stage: clip, model: org/large}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "in.csv").write_text("url,text\nhttp://a.test/1,one\n")
    (folder / "p.yaml").write_text(text)
    return folder / "p.yaml"


def started(folder: Path, gpus: object = 0) -> None:
    file = written(folder, FILE.format(gpus=gpus))
    Pipeline.from_yaml(file).run(local=True, progress=False)


def test_workspace_that_is_a_file_is_told_before_the_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    with pytest.raises(RunError, match="workspace: .*w is a file; name a folder"):
        started(tmp_path)


def test_place_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "is a file; name a folder" in (unusable(str(tmp_path / "taken" / "below")) or "")
    assert "is a file" in (unusable(f"file://{tmp_path}/taken") or "")
    assert unusable(str(tmp_path / "new" / "folder")) is None
    assert unusable("s3://bucket/folder") is None


def test_links_to_nowhere_and_paths_that_are_too_long_are_told(tmp_path: Path) -> None:
    (tmp_path / "w").symlink_to(tmp_path / "nowhere")
    assert "w is a link that leads nowhere; name a folder" in (unusable(f"{tmp_path}/w") or "")
    for path in (f"{tmp_path}/new/{'x' * 300}", f"{tmp_path}{'/long' * 1000}"):
        assert "is too long a path for this machine" in (unusable(path) or "")


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_file_in_an_outputs_place_is_a_fault_at_its_key(tmp_path: Path, command: str) -> None:
    file = written(tmp_path, FILE.format(gpus=0))
    (tmp_path / "out").write_text("a file")
    done = typed(command, str(file))
    assert done.returncode == 2
    assert f"{file}:8:19: path: {tmp_path}/out is a file; name a folder" in done.stderr
    given = typed(command, str(file), "--set", "workspace=out", "--set", "outputs.0.path=o")
    assert given.returncode == 2
    assert "command line: --set workspace=out: workspace: " in given.stderr
    assert not (tmp_path / "w").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_folder_without_rights_stops_plan_and_run_and_is_told_by_validate(tmp_path: Path) -> None:
    file = written(tmp_path, FILE.format(gpus=0))
    (tmp_path / "out").mkdir(mode=0o500)
    for command, code in (("validate", 0), ("plan", 2), ("run", 2)):
        done = typed(command, str(file))
        assert done.returncode == code
        assert "cannot be written to by this user" in done.stdout + done.stderr


@pytest.mark.slow
def test_gpus_that_the_machine_lacks_are_told_before_work(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'sample' asks for 64 GPU, and torch sees \d"):
        started(tmp_path, gpus=64)
    with pytest.raises(RunError, match=r"'sample' asks for 32 times 0\.5 GPU, and torch"):
        started(tmp_path, gpus="0.5, replicas: 32")
    assert not (tmp_path / "w" / "tables").exists()


@pytest.mark.slow
def test_plan_and_validate_say_which_gpus_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = str(written(tmp_path, FILE.format(gpus=64)))
    for command in ("plan", "validate"):
        done = typed(command, file)
        assert done.returncode == 0
        assert "a run on this machine would stop: stage 'sample' asks for 64 GPU" in done.stdout
    (told,) = json.loads(typed("plan", file, "--json").stdout)["obstacles"]
    assert "take `resources.gpus` away, or run on a cluster" in told


@pytest.mark.ray
def test_plan_says_which_gpus_a_named_cluster_lacks(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    file = written(tmp_path, FILE.format(gpus=64))
    monkeypatch.setenv("RAY_ADDRESS", address)
    done = typed("plan", str(file))
    assert f"a run on the Ray at {address} would stop: stage 'sample' asks for at" in done.stdout
    assert "and the cluster's nodes, with 0 GPUs together, hold 0" in done.stdout
    assert Pipeline.from_yaml(written(tmp_path, FILE.format(gpus=0))).obstacles() == []


def cached(folder: Path, weights: Path | None) -> dict[str, str]:
    """The demo's CLIP in a cache of the hub, as org/large, with weights or with a file of three
    terabytes in which nothing is; gives the environment that finds it.
    """
    home = folder / "hub" / "models--org--large"
    snapshot = home / "snapshots" / ("0" * 40)
    ignore = shutil.ignore_patterns("model.safetensors")
    shutil.copytree(MODELS / "clip", snapshot, ignore=ignore, dirs_exist_ok=True)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text("0" * 40)
    if weights is not None:
        shutil.copy(weights, snapshot / "model.safetensors")
    else:
        with (snapshot / "model.safetensors").open("wb") as file:
            file.truncate(3 * 10**12)
    return {"HF_HUB_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "RAY_ADDRESS": ""}


@pytest.mark.slow
def test_a_model_that_memory_does_not_hold_is_told_at_plan_and_stops_a_run(tmp_path: Path) -> None:
    written(tmp_path, LARGE)
    env = cached(tmp_path, None)
    told = "stage 'clip': the weights of org/large (3,000.0 GB) do not fit into the memory of"
    planned = pairmill("plan", "p.yaml", cwd=tmp_path, **env)
    assert (planned.returncode, told in planned.stdout) == (0, True), planned.stdout
    ran = pairmill("run", "p.yaml", cwd=tmp_path, **env)
    assert (ran.returncode, told in ran.stderr) == (1, True), ran.stderr
    assert not (tmp_path / "workspace").exists()


@pytest.mark.slow
def test_a_run_that_finds_its_values_stored_needs_no_memory_for_the_model(
    tmp_path: Path, pairs: Path
) -> None:
    images = LARGE.replace("pairs, path: in.csv", f"parquet, path: {pairs}")
    written(tmp_path, images.replace("  - {stage: download}\n", ""))
    first = pairmill(
        "run", "p.yaml", cwd=tmp_path, **cached(tmp_path, MODELS / "clip/model.safetensors")
    )
    assert first.returncode == 0, first.stderr
    env = cached(tmp_path, None)
    tighter = ("--set", "stages.clip.keep=clip_score > 0.2")
    again = pairmill("run", "p.yaml", *tighter, cwd=tmp_path, **env)
    assert again.returncode == 0, again.stderr
    assert "do not fit" not in pairmill("plan", "p.yaml", cwd=tmp_path, **env).stdout


@pytest.mark.parametrize(("gpus", "taken"), [(0.5, True), (1, True), (2.0, True), (1.5, False)])
def test_a_worker_has_whole_gpus_or_shares_one(gpus: float, taken: bool) -> None:
    """Ray gives no other amounts, and says so only where an actor starts."""
    with nullcontext() if taken else pytest.raises(ValidationError, match="shares one GPU"):
        Resources(gpus=gpus)
