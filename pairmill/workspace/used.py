"""What runs use of a workspace: tables, shards and column files, off the plan of each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pairmill.workspace.addresses import addresses, column_file
from pairmill.workspace.answers import answers_file, is_answers, stored_digests
from pairmill.workspace.elements import inside_of, insides
from pairmill.workspace.run_plan import BlockOfRun, RunPlan, StageOfRun
from pairmill.workspace.shards import payload_file, stored_file
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table


@dataclass(frozen=True)
class Used:
    """What the plans of runs name: tables, column sets and their files, and by which runs."""

    tables: dict[str, list[str]]
    sets: dict[str, list[str]]
    shards: set[str]
    """Files of the tables' shards."""
    columns: dict[str, set[str] | None]
    """Column set → its files; None where a run does not know yet which."""
    answers: set[str] = field(default_factory=set)
    """Files that tell what stages over all rows answered."""


def used(storage: Storage) -> Used:
    """Reads the plan of every run, and the tables that they are of."""
    found = Used({}, {}, set(), {})
    opened: dict[str, Table | None] = {}
    for run in storage.folders("runs"):
        if (plan := RunPlan.read(storage, f"runs/{run}")) is not None:
            add_table(found, storage, opened, run, plan.table, plan.stages, {})
    return found


def add_table(
    found: Used,
    storage: Storage,
    opened: dict[str, Table | None],
    run: str,
    name: str | None,
    stages: Sequence[StageOfRun],
    inside: dict[str, np.ndarray],
) -> Table | None:
    """What a run uses of one table (None: not known yet) and of those that its blocks opened;
    `inside` gets what decides, shard by shard, what comes back of these.
    """
    if name is not None and name not in opened:
        opened[name] = open_table(storage, name)
    table = opened[name] if name is not None else None
    if name is not None:
        found.tables.setdefault(name, []).append(run)
    for stage in stages:
        if stage.column_set:
            found.sets.setdefault(stage.column_set, []).append(run)
        if (block := stage.block) is not None:
            within: dict[str, np.ndarray] = {}
            child = add_table(found, storage, opened, run, block.table, block.stages, within)
            if child is not None and table is not None and known_inside(block, child, within):
                array = np.zeros(len(table), np.uint64)
                array[: len(child)] = of_elements(block, child, within)
                inside[inside_of(block.name)] = array
    for stage in stages:
        for key in filter(is_answers, stage.recipe.columns() if stage.recipe else ()):
            found.answers.add(answers_file(key))
            told = stored_digests(storage, key, table.names) if table is not None else None
            if told is not None:
                inside[key] = told
    add_files(found, stages, table, inside)
    return table


def known_inside(block: BlockOfRun, child: Table, within: Mapping[str, np.ndarray]) -> bool:
    """Whether it can be worked out what decides what comes back of a block."""
    known = {*child.digests, *within}
    return all(s.recipe is None or s.recipe.columns() <= known for s in block.stages)


def of_elements(block: BlockOfRun, child: Table, within: dict[str, np.ndarray]) -> np.ndarray:
    """What decides, in each shard, what comes back of a block's elements."""
    every = {**child.digests, **within}
    digests = {c: every[c][: len(child)] for c in block.digests if c in every}
    recipes = [stage.recipe for stage in block.stages]
    return insides(block.logic, recipes, child.names, digests)


def add_files(
    found: Used,
    stages: Sequence[StageOfRun],
    table: Table | None,
    inside: Mapping[str, np.ndarray],
) -> None:
    """The files of a run: a table's shards, and its stages' columns of them."""
    read = [stage.recipe for stage in stages]
    known = {*(table.digests if table else ()), *inside}
    recipes = [r if r and r.columns() <= known else None for r in read]
    for stage, recipe in zip(stages, recipes, strict=True):
        if stage.column_set and (recipe is None or table is None):
            found.columns[stage.column_set] = None
    if table is None:
        return
    first = next((i for i, r in enumerate(recipes) if r is None and stages[i].column_set), None)
    told = recipes[:first]
    for shard, name in enumerate(table.names.tolist()):
        digests = {c: int(d[shard]) for c, d in table.digests.items()}
        found.shards.add(stored_file(name, int(table.contents[shard])))
        found.shards.update(payload_file(name, d) for d in digests.values())
        digests |= {c: int(d[shard]) for c, d in inside.items()}
        for stage, address in zip(stages, addresses(told, name, digests), strict=False):
            files = found.columns.setdefault(stage.column_set or "", set())
            if address is not None and files is not None and stage.column_set:
                files.add(column_file(stage.column_set, name, address))
