"""Runs on Ray: the same result as without it, after kills of driver and workers too; global stages
in any number of partitions.
"""

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from pairmill.api import Pipeline
from pairmill.cluster.engine import READERS, RayEngine
from pairmill.cluster.partitions import run_global
from pairmill.cluster.reading_tasks import spread
from pairmill.cluster.session import RaySession
from pairmill.errors import RunError, StageFailed
from pairmill.fates.survey import Survey
from pairmill.packages.package import verify
from pairmill.plan.answers import with_new_answers
from pairmill.plan.identity import identified
from pairmill.work.block import Job
from pairmill.work.local import LocalEngine
from pairmill.workspace.reading import Hands, Reading, SourceWork, Storing
from tests.ray_world import files
from tests.test_reading import folder, read, stored  # noqa: F401  (`folder` is a fixture)
from tests.workspaces import stored_chain, values_of

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
Write = Callable[[str], Path]
WORKERS = 5


def test_ray_gives_what_one_process_gives_and_the_callers_ray_stays(
    ray_session: None, world: Path
) -> None:
    import ray

    on_ray = Pipeline.from_yaml(world).run(progress=False, ray=True)
    first = files(world.parent)
    (world.parent / "workspace").rename(world.parent / "old")
    for name in first:
        (world.parent / name).unlink()
    here = Pipeline.from_yaml(world).run(progress=False, local=True)
    assert here.funnel.to_json() == on_ray.funnel.to_json()
    assert files(world.parent) == first
    assert ray.is_initialized()


def test_payload_that_is_gone_is_fetched_again_by_workers(ray_session: None, world: Path) -> None:
    """A stricter run forgot the images of rows that it dropped; Ray's workers fetch them."""
    world.write_text(
        world.read_text().replace("    retries: 1\n", "    retries: 1\n    store: kept\n")
    )
    strict = {"stages.text_rules.keep": "text_words > 8"}
    before = Pipeline.from_yaml(world, strict).run(progress=False, local=True)
    lost = before.table(["image"])["image#forgotten"].sum()
    assert lost > 20
    after = Pipeline.from_yaml(world).run(progress=False, ray=True, replace=True)
    kept = after.table(["image"]).filter(fate="kept")
    assert after.funnel.kept > before.funnel.kept
    assert (kept["image#size"] > 0).all()
    assert not kept["image#forgotten"].any()
    assert verify(str(world.parent / "out")) == []


def test_global_stage_gives_the_same_for_any_number_of_partitions(
    ray_session: None, world: Path
) -> None:
    pipeline = Pipeline.from_yaml(world)
    pipeline.run(progress=False, local=True)
    found = []
    chain = stored_chain(pipeline.checked)
    engine, here = RayEngine([], (), True), LocalEngine(True)
    engine.few = 0
    survey = Survey(chain, engine.over)
    digest, rows = survey.population()
    assert survey.chain.stages[2].is_global
    assert (digest, rows) == Survey(chain, here.over).population()
    for partitions in (1, 3):
        named = Job(identified(survey.chain, {2: f"partitions{partitions}"}), 2, 3)
        answers = run_global(engine.session, named, rows, partitions)
        assert answers.keys() == {shard for shard, looked in rows.items() if looked.count}
        found.append(values_of(with_new_answers(named.chain, 2, answers, ()), 2))
    assert found[0].equals(found[1])
    changed = {**rows, 0: replace(rows[0], digest=b"another run")}
    with pytest.raises(
        RunError, match="another run changed what stage 'dedup' looks at in shard 0"
    ):
        here.answer(Job(identified(chain, {2: "changed"}), 2, 3), changed)


def test_stage_that_raises_on_all_rows_stops_a_ray_run_with_the_real_reason(
    ray_session: None, world: Path
) -> None:
    world.write_text(
        world.read_text().replace("    batch_size: 4\n", "    batch_size: 4\n    bad: [-1]\n")
    )
    with pytest.raises(StageFailed, match="stage 'slow' failed .* ZeroDivisionError"):
        Pipeline.from_yaml(world).run(progress=False, ray=True)


def test_stages_that_load_one_model_are_computed_by_the_same_workers(
    ray_session: None, numbers: Path, write: Write
) -> None:
    text = """
name: shared
source: {type: parquet, path: numbers.parquet, columns: {position: number}, rows_per_shard: 20}
stages:
  - {stage: 'tests.stages_for_tests:SharingStage', name: first, log: LOG}
  - {stage: text_rules, keep: text_words > 1}
  - {stage: 'tests.stages_for_tests:SharingStage', name: second, log: LOG, bad: [1000]}
"""
    file = write(text.replace("LOG", str(numbers / "log")))
    result = Pipeline.from_yaml(file).run(progress=False, ray=True)
    assert result.funnel.kept == 60
    lines = [json.loads(line) for line in (numbers / "log").read_text().splitlines()]
    loaded = [line["pid"] for line in lines if "setup" in line]
    assert len(loaded) == 2 * len(set(loaded))  # each worker holds both stages
    assert sum(len(line["uids"]) for line in lines if "uids" in line) == 120


@dataclass(frozen=True)
class DeadlyWork(SourceWork):
    """A process dies at the third task, once, with its rows half written."""

    def __call__(self, item: Reading | Storing) -> Any:
        mark = Path(f"{self.spool}dead")
        if isinstance(item, Reading) and item.number == 2 and not mark.exists():
            mark.touch()
            Path(f"{self.spool}2").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(item)


@pytest.mark.parametrize("travels", [False, True])
def test_source_read_in_tasks_is_stored_as_one_process_stores_it(
    shared_ray: RaySession,
    folder: Path,  # noqa: F811
    tmp_path: Path,
    travels: bool,
) -> None:
    """Though a worker dies."""
    shared_ray.ensure()
    seen: list[Reading | Storing] = []

    def deadly(work: SourceWork, items: "deque[Reading | Storing]") -> Iterator[tuple[Any, Any]]:
        own = (getattr(work, f.name) for f in fields(work))
        for item, result in spread(shared_ray, DeadlyWork(*own), items, 4):
            seen.append(item)
            yield item, result

    alone = read(folder, tmp_path / "alone", None)
    hands = Hands(4, deadly, worth_bytes=0, task_bytes=0, travels=travels)
    assert read(folder, tmp_path / "tasks", hands) == alone
    assert stored(tmp_path / "tasks") == stored(tmp_path / "alone")
    assert sum(isinstance(item, Reading) for item in seen) == 4  # one is at hand
    assert sum(isinstance(item, Storing) for item in seen) == len(alone)
    chosen = RayEngine([], (), disk=not travels).readers()
    assert chosen is not None
    assert (chosen.count, chosen.travels) == (READERS, travels)


def test_workers_of_a_ray_that_a_run_starts_print_no_secret_and_have_no_runtime_environment(
    ray_session: None,
) -> None:
    import ray

    def facts() -> tuple[str, str]:
        env = ray.get_runtime_context().runtime_env
        return type(sys.stdout).__name__, str(dict(env or {}))

    assert ray.get(ray.remote(facts).remote()) == ("RedactedStream", "{}")


def test_workers_without_work_wait_for_later_tasks_though_there_are_more_than_cores(
    ray_session: None, tmp_path: Path
) -> None:
    import ray

    def age_s(name: str) -> float:
        """Of the process, once all are at work."""
        (tmp_path / f"{name}-{os.getpid()}").touch()
        while len([*tmp_path.glob(f"{name}-*")]) < WORKERS:
            time.sleep(0.01)
        began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(began) / os.sysconf("SC_CLK_TCK")

    task = ray.remote(age_s).options(num_cpus=0.25)
    ray.get([task.remote("first") for _ in range(WORKERS)])
    time.sleep(3)  # Ray's own patience is a second
    assert min(ray.get([task.remote("second") for _ in range(WORKERS)])) > 3
