"""plan.json of a run's folder: read as it was written, older files too, and refused with what is
wrong in it.
"""

from pathlib import Path
from typing import Any

import pytest

from pairmill.errors import StrangeFile
from pairmill.workspace.addresses import Recipe
from pairmill.workspace.run_plan import BlockOfRun, RunPlan, StageOfRun
from pairmill.workspace.storage import Storage


def test_plan_is_read_as_written_and_an_older_one_without_what_it_does_not_say(
    tmp_path: Path,
) -> None:
    storage = Storage(str(tmp_path))
    recipe = Recipe("abc", None, ((None, "text"), (0, 1)))
    inner = StageOfRun("gate", None, None, (), "size > 1", {"stage": "filter"})
    block = BlockOfRun("tiles", "logic", None, ("image",), (inner,))
    stages = (
        StageOfRun("score", "score-1", recipe, ("text",), None, {"params": {"k": 1}}),
        StageOfRun("back", "each-2", None, ("text",), None, {}, block),
    )
    plan = RunPlan("table", 7, 5, stages)
    plan.write(storage, "runs/r")
    assert RunPlan.read(storage, "runs/r") == plan
    assert [stage.name for stage in plan.every_stage()] == ["score", "gate", "back"]
    assert RunPlan.read(storage, "runs/none") is None
    older = {"name": "score", "column_set": "score-1", "recipe": None}
    storage.write_json("runs/old/plan.json", {"table": "t", "stages": [older]})
    assert RunPlan.read(storage, "runs/old") == RunPlan(
        "t", None, None, (StageOfRun("score", "score-1", None, (), None, {}),)
    )


@pytest.mark.parametrize(
    ("spoilt", "what"),
    [
        ({"table": 3, "stages": []}, "a 'table' is 3"),
        ({"table": "t"}, "a 'stages' is None"),
        ({"table": "t", "rows": "x", "stages": []}, "a 'rows' is 'x'"),
        ({"table": "t", "stages": [None]}, "a stage is None"),
        ({"table": "t", "stages": [{"name": "a", "recipe": {"inputs": 3}}]}, "a recipe is"),
        ({"table": "t", "stages": [{"name": "a", "reads": [1]}]}, r"'reads' is \[1\]"),
        ({"table": "t", "stages": [{"name": "a", "block": {"name": "b"}}]}, "a 'logic' is None"),
        ([], r"it holds \[\], and no map"),
    ],
)
def test_spoilt_plan_is_refused_with_what_is_wrong(tmp_path: Path, spoilt: Any, what: str) -> None:
    storage = Storage(str(tmp_path))
    storage.write_json("runs/r/plan.json", spoilt)
    with pytest.raises(StrangeFile, match=f"plan.json is not as pairmill writes it: {what}"):
        RunPlan.read(storage, "runs/r")
