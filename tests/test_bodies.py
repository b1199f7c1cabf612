"""Where a run works: in this process, in processes of its own, or on Ray; and what it leaves out."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.pipeline.whereabouts import wanted_processes, whereabouts
from pairmill.report.gather import LEAST_ROWS, MOST_ROWS, rows_worth
from pairmill.work.block import Job
from pairmill.work.crew_size import processes_for
from pairmill.work.local import LocalEngine
from tests.clusters import children
from tests.conftest import pairmill
from tests.test_hanging import ONE_SHARD, Write

FILE = """
name: bodies
source: {type: parquet, path: numbers.parquet, rows_per_shard: 5}
stages:
  - {stage: text_rules, keep: text_words > 1}
  - {stage: "tests.stages_for_tests:PickyStage", name: picky, batch_size: 2, log: LOG}
outputs: [{type: parquet, path: out}]
"""


def pids(log: Path) -> set[int]:
    return {json.loads(line)["pid"] for line in log.read_text().splitlines()}


def package(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (folder / "out").rglob("*.parquet")}


@pytest.mark.slow
def test_processes_give_the_package_of_this_process_alone(numbers: Path, write: Write) -> None:
    """A stranger's stage never works in the driver, unless it is told to with 0."""
    found = []
    for processes in (0, 2):
        log = numbers / f"log{processes}"
        file = write(FILE.replace("LOG", str(log)))
        result = Pipeline.from_yaml(file).run(progress=False, processes=processes)
        assert (os.getpid() in pids(log)) == (processes == 0)
        assert 1 <= len(pids(log)) <= max(1, processes)  # of so few rows one may do
        found.append((result.funnel.to_json(), package(numbers)))
        for folder in ("workspace", "out"):
            (numbers / folder).rename(numbers / f"{folder}{processes}")
    assert found[0] == found[1]


def test_what_starts_processes_begins_with_new_rows_for_stages_that_need_some(
    numbers: Path, write: Write
) -> None:
    stages = Pipeline.from_yaml(write(FILE.replace("LOG", "log"))).checked.stages
    before = set(children(os.getpid()))  # what these start for a moment is not counted
    for processes, stranger, begun in ((2, False, 0), (0, True, 0), (2, True, 1)):
        engine = LocalEngine(True, processes)
        try:
            for _ in range(2):
                engine.rows_come(stages if stranger else stages[:1])
            assert len(set(children(os.getpid())) - before) == begun
        finally:
            engine.close()
        assert set(children(os.getpid())) <= before


class Begun:
    """Work that has begun: what it takes is given back in one way or the other."""

    width = 2

    def __init__(self) -> None:
        self.ends: list[str] = []

    def begin(self, line: object, watchdog: object) -> "Begun":
        return self

    def __call__(self, shard: int) -> int:
        return shard

    def halt(self) -> None:
        self.ends.append("halted")

    def abandon(self) -> None:
        self.ends.append("abandoned")

    def close(self) -> None:
        self.ends.append("closed")


@pytest.mark.parametrize(("taken", "end"), [(9, ["closed"]), (2, ["halted", "abandoned"])])
def test_work_that_is_given_up_leaves_no_process_of_a_stage(taken: int, end: list[str]) -> None:
    begun = Begun()
    results = LocalEngine(disk=True).here(begun, range(4))
    assert list(islice(results, taken)) == [*range(4)][:taken]
    del results
    assert begun.ends == end


@pytest.mark.slow
def test_stage_of_a_script_works_in_the_scripts_process(numbers: Path) -> None:
    """No other process could find its class."""
    script = numbers / "script.py"
    script.write_text(
        """
import os
import pyarrow as pa
from pairmill import Pipeline, Stage, StageConfig, column

class OwnConfig(StageConfig):
    stage: str = "own"

class Own(Stage):
    Config = OwnConfig
    def reads(self): return ["number"]
    def writes(self): return pa.schema([column("pid", pa.int64(), "process")])
    def __call__(self, rows): return pa.table({"pid": [os.getpid()] * rows.num_rows})

Pipeline.from_yaml("p.yaml").run(progress=False, processes=2)
print(os.getpid())
"""
    )
    (numbers / "p.yaml").write_text(
        "name: own\\nsource: {type: parquet, path: numbers.parquet}\\n"
        'stages: [{stage: "__main__:Own", name: own}]\\n'.replace("\\n", "\n")
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=numbers, capture_output=True, text=True, env=ENV
    )
    assert done.returncode == 0, done.stderr
    stored = pl.read_parquet(numbers / "workspace/columns/own-*/*.parquet")
    assert set(stored["pid"]) == {int(done.stdout)}


LOADS = """
import os, time
from pathlib import Path
import pyarrow as pa
from pairmill import Stage, StageConfig, column
from pairmill.errors import StageBroken

class Loads(Stage):
    Config = StageConfig
    actor = True
    def examine(self):
        with (Path(__file__).parent / "looks").open("a") as log:
            print(os.getpid(), file=log)
        time.sleep(0.5)  # the driver is at the next step by then
        if "broken" in self.name:
            raise StageBroken(f"stage {self.name!r} has no weights")
        return ["all there"]
    def reads(self): return ["number"]
    def writes(self): return pa.schema([column(self.column(), pa.int64(), "process")])
    def __call__(self, rows): return pa.table([[os.getpid()] * rows.num_rows], self.writes())
"""


@pytest.mark.slow
def test_a_stage_is_looked_at_once_by_the_process_that_loads_it(
    numbers: Path, write: Write
) -> None:
    (numbers / "loading.py").write_text(LOADS)
    text = (
        "name: loads\nsource: {type: parquet, path: numbers.parquet}\n"
        'stages: [{stage: "loading:Loads", name: NAME}]\n'
    )
    file = write(text.replace("NAME", "broken"))
    with pytest.raises(RunError, match="'broken' has no weights"):
        Pipeline.from_yaml(file).run(progress=False, processes=2)
    assert not list((numbers / "workspace/columns").glob("*/*.parquet"))
    (numbers / "looks").unlink()
    Pipeline.from_yaml(write(text.replace("NAME", "sound"))).run(progress=False, processes=2)
    stored = pl.read_parquet(numbers / "workspace/columns/*/*.parquet")
    computed = stored.select(pl.selectors.integer().exclude("row")).to_series().unique().to_list()
    assert list(map(str, computed)) == (numbers / "looks").read_text().split(), stored


ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


@pytest.mark.parametrize(
    ("resources", "most", "count"),
    [
        ("", 8, 8),
        ("    resources: {replicas: 3}\n", 8, 3),
        ("    resources: {replicas: [1, 2]}\n", 8, 2),
        ("    resources: {gpus: 1}\n", 8, 4),
        ("    resources: {gpus: 1, replicas: [1, 8]}\n", 8, 4),
        ("    resources: {gpus: 0.5, replicas: [1, 3]}\n", 8, 3),
        ("    resources: {gpus: 2}\n", 8, 2),
    ],
)
def test_light_stages_have_every_core_and_costly_ones_what_the_user_says(
    numbers: Path,
    write: Write,
    resources: str,
    most: int,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And none that wants a GPU has more than the GPUs hold."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    text = FILE.replace(", log: LOG}", "}").replace(
        '  - {stage: "tests.stages_for_tests:PickyStage", name: picky, batch_size: 2}',
        f"  - stage: tests.stages_for_tests:PickyStage\n    name: picky\n{resources}",
    )
    chain = Pipeline.from_yaml(write(text)).checked.chain(ONE_SHARD, None)
    assert processes_for(Job(chain, 0, 2), most) == count


@pytest.mark.slow
def test_command_line_says_where_it_works_and_leaves_the_report_out(
    numbers: Path, write: Write
) -> None:
    file = write(FILE.replace("LOG", str(numbers / "log")))
    told = pairmill("run", str(file), "--processes", "1", "--no-report")
    assert told.returncode == 0, told.stderr
    assert "on this machine, in 1 worker processes at most" in told.stderr
    assert "report:" not in told.stdout
    assert not list(numbers.glob("workspace/runs/*/report"))
    file.write_text(file.read_text() + "report: none\n")
    assert Pipeline.from_yaml(file).run(progress=False).report == ""
    assert pairmill("run", str(file), "--local", "--ray").returncode == 2


def test_environment_tells_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRMILL_PROCESSES", "3")
    assert wanted_processes() == 3
    monkeypatch.setenv("PAIRMILL_PROCESSES", "many")
    with pytest.raises(RunError, match="PAIRMILL_PROCESSES is 'many'"):
        wanted_processes()
    assert whereabouts(True, 0) == "on this machine, in this process (--ray or --address takes Ray)"


def test_report_reads_a_twentieth_of_its_runs_time() -> None:
    assert rows_worth(1) == LEAST_ROWS
    assert rows_worth(100) == 300_000
    assert rows_worth(100_000) == MOST_ROWS


@pytest.mark.slow
def test_profile_says_what_each_stage_took_and_which_is_narrowest(
    numbers: Path, write: Write
) -> None:
    text = FILE.replace("LOG", str(numbers / "log")).replace("picky, ", "picky, pause_s: 0.03, ")
    told = pairmill("run", str(write(text)), "--processes", "0", "--profile")
    assert told.returncode == 0, told.stderr
    rows = {w[0]: w for line in told.stdout.splitlines() if len(w := line.split()) == 10}
    picky = next(w for name, w in rows.items() if name == "picky")
    computed, _, busy = (float(picky[i].replace(",", "")) for i in (2, 3, 4))
    assert (computed, busy >= 1.8) == (60, True)
    assert "bottleneck: stage picky in phase 1" in told.stdout
    assert "of its time is the stage itself" in told.stdout


NARROW = "name: n\nsource: {type: pairs, path: pairs.csv}\nstages: [{stage: text_rules}]\n"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (NARROW, 32_768),
        (NARROW.replace("}\nstages", ", rows_per_shard: 7}\nstages"), 7),
        (NARROW.replace("text_rules}", "text_rules}, {stage: download}"), 1_024),
        (NARROW.replace("text_rules}", "text_rules, resources: {replicas: 2}}"), 1_024),
    ],
)
def test_shards_have_many_rows_where_they_are_only_looked_at(
    tmp_path: Path, write: Write, text: str, rows: int
) -> None:
    (tmp_path / "pairs.csv").write_text("url,text\nhttp://x.test/1.jpg,a text\n")
    pipeline = Pipeline.from_yaml(write(text))
    assert pipeline.checked.source.config.rows_per_shard == rows
