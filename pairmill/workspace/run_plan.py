"""What a run is over and of which stages, kept in its folder: for people, and for gc."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairmill.errors import StrangeFile
from pairmill.workspace.addresses import Recipe
from pairmill.workspace.encoding import sealed
from pairmill.workspace.storage import Storage

FILE = "plan.json"
"""A run's folder holds it from the moment that its table is known."""
OWN = ("name", "column_set", "recipe", "reads", "keep", "block")
"""Keys of a stage that are fields of `StageOfRun`; all others say what it is."""


@dataclass(frozen=True)
class StageOfRun:
    """A stage of a run.  `column_set`: folder of its columns, None of a gate alone; `recipe`: what
    addresses its files, None while that is not known; `facts`: what it is, for people.
    """

    name: str
    column_set: str | None
    recipe: Recipe | None
    reads: tuple[str, ...]
    keep: str | None
    facts: Mapping[str, Any]
    block: "BlockOfRun | None" = None

    def to_json(self) -> dict[str, Any]:
        """As plan.json holds it."""
        block = {"block": self.block.to_json()} if self.block else {}
        recipe = self.recipe.to_json() if self.recipe else None
        own = {"name": self.name, "column_set": self.column_set, "recipe": recipe}
        return {**own, "reads": list(self.reads), "keep": self.keep, **self.facts, **block}


@dataclass(frozen=True)
class BlockOfRun:
    """A block: its elements' `table` (None: not opened yet), the columns of it that address files
    (`digests`), its stages.
    """

    name: str
    logic: str
    table: str | None
    digests: tuple[str, ...]
    stages: tuple[StageOfRun, ...]

    def to_json(self) -> dict[str, Any]:
        """As plan.json holds it."""
        own = {"name": self.name, "logic": self.logic, "table": self.table}
        stages = [stage.to_json() for stage in self.stages]
        return {**own, "digests": list(self.digests), "stages": stages}


@dataclass(frozen=True)
class RunPlan:
    """`rows` of the `table`; `limit`: the rows of the source that were asked for; both None in
    files that do not say.
    """

    table: str
    rows: int | None
    limit: int | None
    stages: tuple[StageOfRun, ...]

    def write(self, storage: Storage, folder: str) -> None:
        """Into a run's folder."""
        own = {"table": self.table, "rows": self.rows, "limit": self.limit}
        stages = [stage.to_json() for stage in self.stages]
        storage.write_json(f"{folder}/{FILE}", sealed({**own, "stages": stages}))

    @classmethod
    def read(cls, storage: Storage, folder: str) -> "RunPlan | None":
        """From a run's folder, the whole storage if it is empty; None where there is none.  Raises
        StrangeFile for a file that is not as `write` leaves it: gc must not guess what is in use.
        """
        name = f"{folder}/{FILE}" if folder else FILE
        if not storage.exists(name):
            return None
        found = storage.read_json(name)
        try:
            if not isinstance(found, dict):
                raise Misread(f"it holds {found!r:.60}, and no map")
            rows, limit = (value(found, key, int | None) for key in ("rows", "limit"))
            return cls(value(found, "table", str), rows, limit, stages_in(found))
        except Misread as fault:
            raise StrangeFile(
                f"{storage.path(name)} is not as pairmill writes it: {fault}; delete it and "
                "run its pipeline again, or delete the run's folder"
            ) from None

    def every_stage(self) -> Iterator[StageOfRun]:
        """The stages, those of blocks in front of what brings back their columns."""
        return with_inside(self.stages)


def with_inside(stages: Sequence[StageOfRun]) -> Iterator[StageOfRun]:
    """Stages, those of blocks in front of what brings back their columns."""
    for stage in stages:
        if stage.block:
            yield from with_inside(stage.block.stages)
        yield stage


class Misread(ValueError):
    """What is wrong with a part of plan.json."""


def value(found: Mapping[str, Any], key: str, kind: Any) -> Any:
    """A value of a kind, None where it is absent and may be None.  Raises Misread."""
    if not isinstance(found.get(key), kind):
        raise Misread(f"a {key!r} is {found.get(key)!r:.60}")
    return found.get(key)


def texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts.  Raises Misread."""
    listed = value(found, key, list)
    if not all(isinstance(text, str) for text in listed):
        raise Misread(f"{key!r} is {listed!r:.60}")
    return tuple(listed)


def stages_in(found: Mapping[str, Any]) -> tuple[StageOfRun, ...]:
    """The stages of a plan or a block.  Raises Misread."""
    return tuple(read_stage(one) for one in value(found, "stages", list))


def read_stage(found: Any) -> StageOfRun:
    """One of them."""
    if not isinstance(found, dict):
        raise Misread(f"a stage is {found!r:.60}")
    recipe, block = (value(found, key, dict | None) for key in ("recipe", "block"))
    try:
        known = Recipe.from_json(recipe) if recipe else None
    except (KeyError, TypeError, ValueError):
        raise Misread(f"a recipe is {recipe!r:.60}") from None
    return StageOfRun(
        value(found, "name", str),
        value(found, "column_set", str | None),
        known,
        texts(found, "reads") if "reads" in found else (),
        value(found, "keep", str | None),
        {key: fact for key, fact in found.items() if key not in OWN},
        read_block(block) if block is not None else None,
    )


def read_block(found: Mapping[str, Any]) -> BlockOfRun:
    """The block of a stage."""
    return BlockOfRun(
        value(found, "name", str),
        value(found, "logic", str),
        value(found, "table", str | None),
        texts(found, "digests"),
        stages_in(found),
    )
