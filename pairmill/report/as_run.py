"""What differs between two runs beside the text of their pipeline files: rows asked for, the input,
variables, what a stage's files and defaults came to, its code, versions of packages.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pairmill.errors import PairmillError
from pairmill.pipeline.started import Started
from pairmill.report.runs import RunFolder
from pairmill.texts.amounts import amount
from pairmill.workspace.run_plan import RunPlan, StageOfRun
from pairmill.workspace.storage import Storage

LONGEST = 300
"""Characters of a value that are shown."""
NONE = "–"


def differing_settings(
    folders: list[RunFolder], runs: list[dict[str, Any]]
) -> list[tuple[str, str, str]]:
    """(what, in the first run, in the second) of all that differs."""
    first, second = (dict(settings(folder, run)) for folder, run in zip(folders, runs, strict=True))
    names = [*first, *(name for name in second if name not in first)]
    # a stage that one run alone has stands in the files' lines
    shared = {stage_of(n) for n in first} & {stage_of(n) for n in second}
    return [
        (name, first.get(name, NONE), second.get(name, NONE))
        for name in names
        if first.get(name) != second.get(name)
        and stage_of(name) in shared
        # a variable that one run alone names stands in the files' lines, too
        and not (name.startswith("run: ${") and not (name in first and name in second))
    ]


def stage_of(name: str) -> str:
    """The stage whose key a name is."""
    return name.partition(": ")[0]


def settings(folder: RunFolder, run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a run was told beside its file, name by name; nothing of what its folder does not hold
    any more.
    """
    storage = Storage(folder.storage.path(folder.name) if folder.name else folder.storage.root)
    plan, started = None, None
    with contextlib.suppress(PairmillError):
        plan = RunPlan.read(storage, "")
    with contextlib.suppress(PairmillError):
        started = Started.read(storage)
    if plan is not None:
        yield "run: rows asked for", "all" if plan.limit is None else f"the first {plan.limit:,}"
        rows = "" if plan.rows is None else f" ({amount(plan.rows, 'row')})"
        yield "run: input", f"{plan.table}{rows}"
    if started is not None:
        yield "run: relative paths mean", started.base
        for name, value in started.variables.items():
            yield f"run: ${{{name}}}", cut(value)
    for package, version in sorted(plain(run.get("versions")).items()):
        yield f"run: {package}", cut(version)
    yield "run: pairmill", cut(run.get("pairmill"))
    for stage in plan.every_stage() if plan is not None else ():
        yield from keys_of(stage)


def keys_of(stage: StageOfRun) -> Iterator[tuple[str, str]]:
    """A stage's keys as they were used, and what else decides its values."""
    for key, value in sorted(plain(stage.facts.get("params")).items()):
        yield f"{stage.name}: {key}", cut(value)
    for key in ("stage", "version"):
        yield f"{stage.name}: {key}", cut(stage.facts.get(key))
    if code := stage.facts.get("code"):
        yield f"{stage.name}: its code", cut(code)


def plain(value: Any) -> Mapping[str, Any]:
    """A map; an empty one where a damaged file holds none."""
    return value if isinstance(value, Mapping) else {}


def cut(value: Any) -> str:
    """A value for people."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
