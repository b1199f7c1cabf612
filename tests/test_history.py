"""History does not show: what comes out depends on input and pipeline as they are now, and what is
computed is what is new.
"""

import contextlib
import hashlib
import tempfile
from pathlib import Path
from typing import Annotated, Any, ClassVar

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pairmill import Stage, StageConfig, column
from pairmill.api import Pipeline
from pairmill.fates.run_table import Run
from pairmill.pipeline.run import Runner, RunOutcome
from pairmill.pipeline.watcher import Watcher
from pairmill.stage import COLUMN
from tests.conftest import SEARCH

pytestmark = pytest.mark.slow


class CountedConfig(StageConfig):
    of: Annotated[str, COLUMN] = "text"
    """Column that it reads."""
    plus: int = 0


class CountedStage(Stage):
    """Length of a text, or a number, plus something; tells what it computes."""

    Config = CountedConfig
    prefix = "counted"
    flush_s = 0.0
    seen: ClassVar[list[tuple[str, Any, int]]] = []
    stopped: ClassVar[str] = ""
    """The stage at whose third batch the run is interrupted."""

    def reads(self) -> list[str]:
        return [self.config.of, "uid"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "a number")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = rows[self.config.of].to_pylist()
        self.batches = getattr(self, "batches", 0) + 1
        if self.name == self.stopped and self.batches == 3:
            raise KeyboardInterrupt
        uids = rows["uid"].to_pylist()
        self.seen += [(u, v, self.config.plus) for u, v in zip(uids, values, strict=True)]
        found = [(v if isinstance(v, int) else len(v)) + self.config.plus for v in values]
        return pa.table([found], schema=self.writes())


FILE = """
name: grown
source: {{type: pairs, path: in, rows_per_shard: {rows}}}
stages:
  - {{stage: 'tests.test_history:CountedStage', name: {name}, plus: {plus}, batch_size: 4, keep: {name} < {gate}}}
  - {{stage: filter, keep: {name} < 1000}}
  - {{stage: dedup, on: [text], keep: dup_of IS NULL OR cluster_size > {dedup}}}
  - {{stage: 'tests.test_history:CountedStage', name: second, of: {name}, plus: 100, batch_size: 4}}
  - {{stage: 'tests.test_history:CountedStage', name: third, of: cluster_size, plus: 200, batch_size: 4}}
  - {{stage: filter, name: gate, keep: third > 0}}
  - {{stage: derive, name: sum, expression: second + third}}
  - {{stage: 'tests.test_history:PartsStage'}}
  - each: parts
    stages:
      - {{stage: 'tests.test_history:CountedStage', name: within, of: parts, plus: 300, batch_size: 4, keep: within > {inside}}}
      - {{stage: select, name: top, by: within, budget: 40}}
      - {{stage: 'tests.test_history:CountedStage', name: behind, of: within, plus: 400, batch_size: 4}}
      - {{stage: filter, name: inner, keep: behind > 0}}
    collect: [within, top]
  - {{stage: 'tests.test_history:CountedStage', name: back, of: parts_kept, plus: 500, batch_size: 4, when: sum < {only}}}
outputs:
  - {{type: table, path: out, samples_per_shard: 7, overwrite: true}}
  - {{type: table, path: parts, rows: parts, samples_per_shard: 20, overwrite: true}}
  - {{type: table, path: last, columns: [second], samples_per_shard: 7, overwrite: true}}
"""


class PartsStage(Stage):
    """A text in pieces of five letters."""

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column("parts", pa.list_(pa.string()), "pieces")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        texts = rows["text"].to_pylist()
        return pa.table(
            [[[t[i : i + 5] for i in range(0, len(t), 5)] for t in texts]], schema=self.writes()
        )


def run(folder: Path, limit: int | None = None, **options: Any) -> tuple[RunOutcome, list[Any]]:
    """A run in a folder, and what stages computed: (uid, value read, plus)."""
    usual = {
        "rows": 8,
        "name": "first",
        "plus": 0,
        "gate": 99,
        "dedup": 9,
        "inside": 300,
        "only": 999,
    }
    text = FILE.format(**usual | options)
    (folder / "p.yaml").write_text(text)
    CountedStage.seen.clear()
    plan = Pipeline.from_yaml(folder / "p.yaml").checked
    outcome = Runner(plan, text, Watcher(), [], limit, local=True, processes=0).run()
    return outcome, list(CountedStage.seen)


def results(folder: Path, outcome: RunOutcome) -> dict[str, str]:
    """Digest of each file of package and ledger."""
    names = ("out", "parts", "last")
    places = (*(folder / name for name in names), Path(outcome.folder) / "ledger")
    files = {f"{p.name}/{f.relative_to(p)}": f for p in places for f in p.rglob("*")}
    return {n: hashlib.sha256(f.read_bytes()).hexdigest() for n, f in files.items() if f.is_file()}


class Workspace(RuleBasedStateMachine):
    """A folder of files that is edited, run and interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.folder = Path(self.home.name)
        (self.folder / "in").mkdir()
        self.files: dict[str, list[tuple[str, str]]] = {}
        self.known: set[Any] = set()
        self.made = 0
        self.options: dict[str, Any] = {}

    def teardown(self) -> None:
        self.home.cleanup()

    def rows(self, count: int) -> list[tuple[str, str]]:
        self.made += count
        return [(f"u{i}", f"text {i % 13 * 'x'}") for i in range(self.made - count, self.made)]

    @initialize(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=4))
    def first_files(self, sizes: list[int]) -> None:
        self.files = {f"f{i}.csv": self.rows(n) for i, n in enumerate(sizes)}
        self.run_and_compare()
        self.options["plus"] = 1  # other values of the same rows
        self.run_and_compare()

    def chosen(self, at: int) -> list[tuple[str, str]]:
        return self.files[sorted(self.files)[at % len(self.files)]]

    @rule(at=st.integers(0, 9), place=st.integers(0, 30), count=st.integers(1, 6))
    def insert_rows(self, at: int, place: int, count: int) -> None:
        rows = self.chosen(at)
        rows[place % (len(rows) + 1) : place % (len(rows) + 1)] = self.rows(count)

    @rule(at=st.integers(0, 9), place=st.integers(0, 30))
    def delete_a_row(self, at: int, place: int) -> None:
        rows = self.chosen(at)
        if len(rows) > 1:
            del rows[place % len(rows)]

    @rule(at=st.integers(0, 9), place=st.integers(0, 30), text=st.sampled_from(["new", "newer"]))
    def change_a_row(self, at: int, place: int, text: str) -> None:
        rows = self.chosen(at)
        rows[place % len(rows)] = (rows[place % len(rows)][0], text)

    @rule(name=st.integers(0, 20), size=st.integers(1, 30))
    def add_a_file(self, name: int, size: int) -> None:
        self.files.setdefault(f"f{name}.csv", self.rows(size))

    @rule(at=st.integers(0, 9))
    def remove_a_file(self, at: int) -> None:
        if len(self.files) > 1:
            del self.files[sorted(self.files)[at % len(self.files)]]

    @rule(at=st.integers(0, 9), name=st.integers(0, 20))
    def rename_a_file(self, at: int, name: int) -> None:
        if f"f{name}.csv" not in self.files:
            self.files[f"f{name}.csv"] = self.files.pop(sorted(self.files)[at % len(self.files)])

    @rule(at=st.integers(0, 9), other=st.integers(0, 9))
    def repeat_a_row(self, at: int, other: int) -> None:
        self.chosen(at).append(self.chosen(other)[0])

    @rule(
        change=st.sampled_from(
            [("gate", 12), ("gate", 99), ("plus", 1), ("plus", 0), ("name", "one"), ("name", "first"),
             ("dedup", 0), ("dedup", 9), ("rows", 6), ("rows", 8), ("inside", 303), ("inside", 300),
             ("only", 320), ("only", 999)]
        )
    )  # fmt: skip
    def change_the_pipeline(self, change: tuple[str, Any]) -> None:
        self.options[change[0]] = change[1]

    @rule(inside=st.booleans())
    def interrupt(self, inside: bool) -> None:
        self.write(self.folder)
        CountedStage.stopped = "within" if inside else self.options.get("name", "first")
        with contextlib.suppress(KeyboardInterrupt):  # unless there is little to compute
            run(self.folder, **self.options)
        CountedStage.stopped = ""
        assert not self.known & set(CountedStage.seen)
        self.known |= set(CountedStage.seen)

    @rule(limit=st.integers(1, 20))
    def run_the_first_rows(self, limit: int) -> None:
        self.write(self.folder)
        self.check(*run(self.folder, limit, **self.options))

    @rule()
    def run_and_compare(self) -> None:
        self.write(self.folder)
        outcome, computed = run(self.folder, **self.options)
        self.check(outcome, computed)
        with tempfile.TemporaryDirectory() as name:
            fresh = Path(name)
            (fresh / "in").mkdir()
            self.write(fresh)
            other, _ = run(fresh, **self.options)
            assert results(self.folder, outcome) == results(fresh, other)

    def write(self, folder: Path) -> None:
        for file in (folder / "in").glob("*"):
            file.unlink()
        for name, rows in self.files.items():
            lines = [f"{uid},http://x.test/{uid},{text}" for uid, text in rows]
            (folder / "in" / name).write_text("\n".join(["uid,url,text", *lines, ""]))

    def check(self, outcome: RunOutcome, computed: list[Any]) -> None:
        """Computed is what no run of this workspace computed before."""
        name = self.options.get("name", "first")
        rows = Run(outcome.chain).table(["text", name, "cluster_size", "sum", "parts_kept"])
        kept = rows.filter(fate="kept")
        wanted = {(u, t, self.options.get("plus", 0)) for u, t in rows.select("uid", "text").rows()}
        for of, plus in ((name, 100), ("cluster_size", 200)):
            wanted |= {(u, v, plus) for u, v in kept.select("uid", of).rows()}
        some = kept.filter(pl.col("sum") < self.options.get("only", 999))
        wanted |= {(u, v, 500) for u, v in some.select("uid", "parts_kept").rows()}
        parts = Run(outcome.tables["parts"].chain).table(["parts", "within"])
        wanted |= {(u, v, 300) for u, v in parts.select("uid", "parts").rows()}
        inside = parts.filter(fate="kept")
        wanted |= {(u, v, 400) for u, v in inside.select("uid", "within").rows()}
        assert sorted(computed, key=repr) == sorted(wanted - self.known, key=repr)
        self.known |= wanted


Workspace.TestCase.settings = settings(
    max_examples=3 * SEARCH,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestHistoryDoesNotShow = Workspace.TestCase
