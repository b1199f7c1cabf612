"""What decides a value is in its identity, and nothing else."""

import os
from pathlib import Path

import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.plan.own_code import normalised
from tests.conftest import pairmill

STAGE = '''
"""A stage of one's own."""
import pyarrow as pa
from pairmill import Stage, StageConfig, column
from shared.formula import FACTOR


class Config(StageConfig):
    plus: float = 0
    ignored: set[str] = OTHERS


class Times(Stage):
    Config = Config
    prefix = "times"

    def reads(self):
        return ["number"]

    def writes(self):
        return pa.schema([column(self.column(), pa.float64(), "a number")])

    def __call__(self, rows):
        with open("computed", "a") as stream:
            stream.write("x" * rows.num_rows)
        values = [v * FACTOR + self.config.plus for v in rows["number"].to_pylist()]
        return pa.table([values], schema=self.writes())
'''.replace("    ignored: set[str] = OTHERS\n", "")
FILE = """
name: own
source: {type: pairs, path: in.csv}
stages:
  - {stage: "own_times:Times", NAME}
  - {stage: derive, name: half, expression: "COLUMN / 2"}
outputs: [{type: table, path: out}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/formula.py").write_text("FACTOR = 2\n")
    (tmp_path / "own_times.py").write_text(STAGE)
    lines = [f"{i},http://x.test/{i},text {i}" for i in range(50)]
    (tmp_path / "in.csv").write_text("\n".join(["number,url,text", *lines, ""]))
    return tmp_path


def computed(folder: Path, name: str = "") -> int:
    """Rows that a run of the command line computes."""
    text = FILE.replace("NAME", f"name: {name}" if name else "plus: 0")
    (folder / "p.yaml").write_text(text.replace("COLUMN", name or "times"))
    (folder / "computed").unlink(missing_ok=True)
    done = pairmill("run", "p.yaml", "--local", "--replace", cwd=folder)
    assert done.returncode == 0, done.stderr
    there = folder / "computed"
    return len(there.read_text()) if there.exists() else 0


@pytest.mark.slow
def test_an_edited_formula_computes_anew_and_a_comment_or_another_name_does_not(
    folder: Path,
) -> None:
    """Formula, helper module, comment, name of the stage: each in a process of its own."""
    assert computed(folder) == 50
    formula, shared = folder / "own_times.py", folder / "shared/formula.py"
    formula.write_text(STAGE.replace("values = [", "# doubled\n        values  = [ "))
    shared.write_text('"""What is multiplied."""\nFACTOR = 2  # twice\n')
    assert computed(folder) == 0
    assert computed(folder, name="other") == 0
    shared.write_text("FACTOR = 3\n")
    assert computed(folder) == 50
    formula.write_text(STAGE.replace("v * FACTOR", "v + FACTOR"))
    assert computed(folder) == 50
    formula.write_text(STAGE)
    shared.write_text("FACTOR = 2\n")
    assert computed(folder) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("set[str]", "{'a', 'b'}"), ("float", "float('nan')"), ("object", "print")],
)
def test_a_value_without_a_stable_form_is_refused_before_anything_runs(
    folder: Path, field: str, value: str
) -> None:
    name = f"odd_{abs(hash((str(folder), field)))}"
    text = STAGE.replace("plus: float = 0", f"plus: float = 0\n    odd: {field} = {value}")
    (folder / f"{name}.py").write_text(
        text.replace("from shared.formula import FACTOR", "FACTOR = 1")
    )
    (folder / "p.yaml").write_text(
        FILE.replace("own_times", name).replace("NAME", "plus: 1").replace("COLUMN", "times")
    )
    with pytest.raises(PipelineFileError, match=r"times\.odd: .* has no stable hash"):
        Pipeline.from_yaml(folder / "p.yaml")
    assert not os.path.exists(folder / "workspace")


def test_run_and_plan_say_what_is_new(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in.csv").rename(folder / "in/a.csv")
    text = "name: own\nsource: {type: pairs, path: in}\nstages: [{stage: text_rules}]\n"
    (folder / "p.yaml").write_text(text)

    def plan() -> str | None:
        told: str | None = Pipeline.from_yaml(folder / "p.yaml").plan()["news"]
        return told

    assert plan() is None
    first = Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    assert not [n for n in first.notes if "known" in n]
    lines = (folder / "in/a.csv").read_text().splitlines()
    more = [f"{i},http://x.test/{i},text {i}" for i in range(100, 110)]
    (folder / "in/b.csv").write_text("\n".join([lines[0], *more, ""]))
    assert plan() == "50 rows known, 1 parts of the input to be read"
    (folder / "in/a.csv").write_text("\n".join([*lines[:-3], ""]))
    second = Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    assert "47 rows known, 10 new, 3 gone" in second.notes


def test_a_module_that_is_imported_by_a_call_counts(tmp_path: Path) -> None:
    """`import_module("helper")` left the helper's code out of the identity."""
    calls = ('import_module("helper")', 'importlib.import_module(".helper", "own")')
    for name, call in zip(("plain", "own.inner"), calls, strict=True):
        file = tmp_path / f"{name}.py"
        file.write_text(f"from importlib import import_module\nhelper = {call}\n")
        _, named = normalised(str(file), 0, name)
        assert {"plain": "helper", "own.inner": "own.helper"}[name] in named
