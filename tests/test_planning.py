"""Plans: what is stored, what waits; stages of other packages."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pairmill import __version__ as pairmill_version
from pairmill.api import Pipeline
from pairmill.cluster.executor import operators
from pairmill.cluster.memory import IMAGE_BYTES, ROW_BYTES
from pairmill.cluster.nodes import access_fault
from pairmill.cluster.worker_shares import WorkerShares
from pairmill.errors import RunError
from pairmill.work.block import Job
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.tables import Table
from tests.conftest import CLIP, pairmill
from tests.test_hanging import GLOBAL
from tests.test_run import run, text

Write = Callable[[str], Path]


@pytest.mark.slow
def test_plan_tells_stored_and_waiting_rows(write: Write, numbers: Path) -> None:
    file = write(text("", "  - stage: filter\n    keep: position_in < 30\n"))
    assert Pipeline.from_yaml(file).plan()["pool_rows"] is None
    run(file)
    picky = Pipeline.from_yaml(file, {"stages.filter.keep": "position_in < 50"}).plan()["stages"][1]
    assert (picky["rows_stored"], picky["rows_waiting"]) == (30, 20)
    shown = pairmill("plan", str(file), "--columns").stdout
    assert "reads position (source), uid (source)" in shown


def test_stage_over_all_rows_has_no_identity_before_its_rows_are_known(
    write: Write, numbers: Path
) -> None:
    file = write(GLOBAL)
    assert Pipeline.from_yaml(file).plan()["stages"][0]["identity"] is None
    run(file)
    known = Pipeline.from_yaml(file).plan()["stages"][0]
    assert known["identity"]
    assert known["rows_stored"] == 60


def test_light_stages_share_an_operator_where_they_ask_for_the_same(tmp_path: Path) -> None:
    """`download` has workers of its own; a task of stages that ask for other things would need a
    node that has all of them.
    """
    (tmp_path / "pairs.csv").write_text("url,text\nhttp://x.test/1.jpg,a text\n")
    (tmp_path / "p.yaml").write_text("""
name: operators
source: {type: pairs, path: pairs.csv}
stages:
  - {stage: sample}
  - {stage: text_rules}
  - {stage: language}
  - {stage: download}
  - {stage: resolution}
  - {stage: image_hash, resources: {memory: 2 GB}}
""")
    stages = Pipeline.from_yaml(tmp_path / "p.yaml").checked.stages
    assert [[s.name for s in part] for part in operators(stages)] == [
        ["sample", "text_rules", "language"],
        ["download"],
        ["resolution"],
        ["image_hash"],
    ]


def test_stages_that_load_the_same_model_share_an_operator(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("url,text,image\nhttp://x.test/1.jpg,a text,\n")
    (tmp_path / "p.yaml").write_text(f"""
name: operators
source: {{type: pairs, path: pairs.csv}}
stages:
  - {{stage: embed, model: {CLIP}, embeddings: [text], embedding_dim: 8}}
  - {{stage: clip, name: plain, model: {CLIP}}}
  - {{stage: text_rules}}
  - {{stage: clip, name: again, model: {CLIP}}}
  - {{stage: clip, name: other, model: {CLIP}, dtype: float32}}
  - {{stage: clip, name: heavy, model: {CLIP}, dtype: float32, resources: {{cpus: 2}}}}
  - {{stage: image_hash, resources: {{cpus: 3}}}}
  - {{stage: clip, name: heavier, model: {CLIP}, dtype: float32, resources: {{cpus: 2}}}}
""")
    stages = Pipeline.from_yaml(tmp_path / "p.yaml").checked.stages
    assert [[s.name for s in part] for part in operators(stages)] == [
        ["embed", "plain", "text_rules", "again"],
        ["other"],
        ["heavy"],
        ["image_hash"],
        ["heavier"],
    ]


def test_actor_takes_the_cores_of_two_where_no_other_pool_computes(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("url,text\nhttp://x.test/1.jpg,a text\n")
    clip = f"{{stage: clip, name: NAME, model: {CLIP}, dtype: DTYPE, resources: {{MORE}}}}"

    def cores(*stages: tuple[str, str, str]) -> list[int]:
        lines = [
            clip.replace("NAME", name).replace("DTYPE", dtype).replace("{MORE}", f"{{{more}}}")
            for name, dtype, more in stages
        ]
        (tmp_path / "p.yaml").write_text(
            "name: cores\nsource: {type: pairs, path: pairs.csv}\nstages:\n"
            + "".join(f"  - {line}\n" for line in ["{stage: download}", *lines])
        )
        planned = Pipeline.from_yaml(tmp_path / "p.yaml").checked.stages
        parts = operators(planned)
        shares = WorkerShares.__new__(WorkerShares)
        return [shares.cores(part[0], parts) for part in parts[1:]]

    assert cores(("a", "float32", "")) == [2]
    assert cores(("a", "float32", "cpus: 3")) == [6]
    assert cores(("a", "float32", "replicas: 2")) == [1]
    assert cores(("a", "float32", ""), ("b", "bfloat16", "")) == [1, 1]


@pytest.mark.slow
def test_stage_of_an_entry_point_is_found_by_its_name(write: Write, numbers: Path) -> None:
    info = numbers / "site/third_party-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pairmill.stages]\nfancy = tests.stages_for_tests:PickyStage\n"
    )
    file = write(text("").replace("tests.stages_for_tests:PickyStage", "fancy"))
    shown = pairmill(
        "plan", "--json", str(file), PYTHONPATH=f"{numbers}/site:{Path(__file__).parent.parent}"
    )
    assert json.loads(shown.stdout)["stages"][0]["writes"] == ["picky_twice", "picky_batch"]
    assert "unknown stage 'fancy'" in pairmill("validate", str(file)).stderr


def test_workers_ask_for_what_their_shards_need_and_for_no_more_than_a_node_holds(
    tmp_path: Path,
) -> None:
    (tmp_path / "pairs.csv").write_text("url,text\nhttp://x.test/1.jpg,a text\n")
    file = tmp_path / "p.yaml"
    stages = (
        "stages:\n  - {stage: text_rules}\n  - {stage: download, resources: {memory: "
        "MEMORY, replicas: 2}}\n"
    )
    file.write_text(
        "name: room\nsource: {type: pairs, path: pairs.csv}\n"
        + stages.replace("memory: MEMORY, ", "")
    )

    table = Table.of("t", [ShardFacts(1, 1, 10_000, 0, {"uid": 1, "url": 1, "text": 1})], 0, ())

    def job() -> Job:
        return Job(Pipeline.from_yaml(file).checked.chain(table, None), 0, 2)

    small, large = {"CPU": 4.0, "memory": 2e9}, {"CPU": 16.0, "memory": 64e9}
    shard = 10_000 * (IMAGE_BYTES + ROW_BYTES)
    rules, download = job().stages()
    assert WorkerShares(job(), [large]).options(rules)["memory"] == 3 * shard
    assert (
        WorkerShares(job(), [large]).options(download)["memory"]
        == 3 * shard * download.stage.overlap
    )
    crowded = WorkerShares(job(), [small, small])
    assert (
        crowded.options(rules)["memory"] + 2 * crowded.options(download)["memory"] <= 2e9
    )  # half of what both nodes have
    file.write_text(
        "name: room\nsource: {type: pairs, path: pairs.csv}\n" + stages.replace("MEMORY", "4 GB")
    )
    with pytest.raises(
        RunError,
        match=(
            r"stage 'download': no node holds one of its workers .*4\.0 GB.*; the largest "
            r"have 4 CPU, 0 GPU and 2\.0 GB"
        ),
    ):
        WorkerShares(job(), [small, small])
    assert WorkerShares(job(), [small, large]).options(job().stages()[1])["memory"] == 4 * 10**9


def test_node_with_another_version_or_without_the_drivers_file_is_told(tmp_path: Path) -> None:
    assert "it has pairmill" in access_fault((), "sign", "0.0.0")
    assert f"does not see what the driver wrote to {tmp_path}" in access_fault(
        (str(tmp_path),), "sign", pairmill_version
    )
    (tmp_path / "sign").write_text("")
    assert access_fault((str(tmp_path),), "sign", pairmill_version) == ""
    assert [f.name for f in tmp_path.iterdir()] == ["sign"]


@pytest.mark.parametrize(
    ("resources", "nodes", "fault"),
    [
        (["gpus: 1, replicas: [1, 8]"], [1], None),
        (
            ["gpus: 1, replicas: 2"],
            [1],
            "'s0' asks for at least 2 workers with 1 GPU each, .*hold 1",
        ),
        (["gpus: 1, replicas: 3"], [2, 1], None),
        (["gpus: 2, replicas: 2"], [3, 1], r"with 2 GPU each, .* with 4 GPUs together, hold 1"),
        (["gpus: 1", "gpus: 1"], [1], r"'s1' asks for .* beside s0"),
        (["gpus: 0.5", "gpus: 0.5"], [1], None),
        (["gpus: 0.4, replicas: 3"], [1], r"3 workers with 0\.4 GPU each"),
    ],
)
def test_workers_for_which_the_cluster_has_no_gpus_are_told_before_work(
    tmp_path: Path, resources: list[str], nodes: list[float], fault: str | None
) -> None:
    (tmp_path / "pairs.csv").write_text("url,text\nhttp://x.test/1.jpg,a text\n")
    lines = [
        f"  - {{stage: sample, name: s{i}, seed: {i}, resources: {{{asked}}}}}\n"
        for i, asked in enumerate(resources)
    ]
    file = tmp_path / "p.yaml"
    file.write_text("name: g\nsource: {type: pairs, path: pairs.csv}\nstages:\n" + "".join(lines))
    table = Table.of("t", [ShardFacts(1, 1, 10, 0, {"uid": 1, "url": 1, "text": 1})], 0, ())
    job = Job(Pipeline.from_yaml(file).checked.chain(table, None), 0, len(lines))
    there = [{"CPU": 16.0, "memory": 64e9, "GPU": gpus} for gpus in nodes]
    if fault is None:
        assert WorkerShares(job, there).options(job.stages()[0])["num_gpus"] > 0
        return
    with pytest.raises(RunError, match=fault):
        WorkerShares(job, there)
