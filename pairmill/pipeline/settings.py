"""Settings that decide which rows fail: where one changed, failures that it may have caused are
tried again.

`columns/<column set>/settings.json` holds, for each table, the settings under which every failure
of its rows that is stored there has been tried.  A table's first run writes it before it works, so
that what fails in a run that ends badly, or over some rows only, is known by its settings, too.
Other settings take their place when a run over all rows has ended well, so that an interrupted one
tries again.  Rows of a table that is not named there may have come from any other, so all of them
are asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.config import Reach, marks_of
from pairmill.workspace.encoding import corrupt
from pairmill.workspace.storage import Storage


@dataclass(frozen=True)
class Change:
    """A setting of a stage that is another one than when its failures were tried."""

    stage: str
    field: str
    before: Any
    now: Any
    classes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.stage}: {self.field} was {self.before} and is {self.now}"


class StoredSettings:
    """Reads and writes the settings of a run's stages."""

    def __init__(self, storage: Storage, redact: Callable[[Any], Any]) -> None:
        self.storage, self.redact = storage, redact

    def changes(self, chain: Chain) -> list[Change]:
        """What is another setting now, of the stages whose column sets can be told."""
        return [c for stage in chain.stages for c in self.changes_of(stage, chain.table.id)]

    def begin(self, chain: Chain) -> None:
        """Stores the settings of stages under which no failure of the table's rows was tried yet,
        or none that these settings may free.
        """
        for stage in chain.stages:
            name = file_of(stage)
            if name is None or chain.table.id in self.tables(name):
                continue
            if not self.changes_of(stage, chain.table.id):
                self.store(name, chain.table.id, self.of(stage))

    def changes_of(self, stage: PlannedStage, table: str) -> list[Change]:
        """Changes of one stage that may free failures of the table's rows, one a setting."""
        found: dict[str, Change] = {}
        now = self.of(stage)
        for before in self.stored(stage, table):
            for field, reach in reaches(stage).items():
                if field in before and reach.frees(before[field], now[field]):
                    found.setdefault(
                        field, Change(stage.name, field, before[field], now[field], reach.classes)
                    )
        return list(found.values())

    def stored(self, stage: PlannedStage, table: str) -> list[dict[str, Any]]:
        """Settings under which failures of the table's rows may have been tried."""
        tables = self.tables(file_of(stage))
        return [tables[table]] if table in tables else list(tables.values())

    def tables(self, name: str | None) -> dict[str, dict[str, Any]]:
        """Table → settings."""
        if name is None or not self.storage.exists(name):
            return {}
        whole = self.storage.read_json(name)
        found: Any = whole.get("tables") if isinstance(whole, dict) else None
        if not isinstance(found, dict) or not all(isinstance(s, dict) for s in found.values()):
            error = ValueError("it holds no settings by table")
            raise corrupt(self.storage.path(name), error)
        return found

    def of(self, stage: PlannedStage) -> dict[str, Any]:
        """Settings of a stage that decide which rows fail, without secrets."""
        plain = stage.config.model_dump(mode="json")
        settings: dict[str, Any] = self.redact({field: plain[field] for field in reaches(stage)})
        return settings

    def end(self, chain: Chain, again: tuple[str, ...], whole: bool) -> list[str]:
        """Stores the settings of a run that ended well, `whole`: over all rows.  Returns what was
        not tried again: failures of stages that were not known when the run began.
        """
        left = []
        for stage in chain.stages:
            name = file_of(stage)
            if name is None:
                continue
            missed = [c for c in self.changes_of(stage, chain.table.id) if not is_tried(c, again)]
            if missed:
                words, entries = "; ".join(map(str, missed)), ",".join(to_try_again(missed))
                left.append(f"{words}: its failures were not tried again; `--retry {entries}` does")
            elif whole:
                self.store(name, chain.table.id, self.of(stage))
        return left

    def store(self, name: str, table: str, settings: dict[str, Any]) -> None:
        """Writes a table's settings beside those of other tables, if they are not there already."""
        tables = self.tables(name)
        if tables.get(table) != settings:
            self.storage.write_json(name, {"tables": {**tables, table: settings}})


def file_of(stage: PlannedStage) -> str | None:
    """None for a stage that has no column set, or none that can be told yet."""
    if not stage.computes or stage.identity is None or not reaches(stage):
        return None
    return f"columns/{stage.column_set}/settings.json"


def reaches(stage: PlannedStage) -> dict[str, Reach]:
    """The fields of a stage that decide which rows fail."""
    kind = type(stage.config)
    found = {}
    for field in kind.model_fields:
        for mark in marks_of(kind, field):
            if isinstance(mark, Reach):
                found[field] = mark
    return found


def is_tried(change: Change, again: tuple[str, ...]) -> bool:
    """Whether the entries `again` of `retry` name all failures that a change may free."""
    return all(
        name in again or entry in again
        for name, entry in zip(change.classes, to_try_again([change]), strict=True)
    )


def to_try_again(changes: list[Change]) -> tuple[str, ...]:
    """Entries of `retry`: `stage:class`."""
    return tuple(dict.fromkeys(f"{c.stage}:{name}" for c in changes for name in c.classes))
