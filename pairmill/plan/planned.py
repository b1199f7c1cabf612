"""One stage of a pipeline with everything that can be known of it before a row is seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pairmill.plan.spelling import stored_names
from pairmill.schemas.arrow import is_payload, unit_of
from pairmill.schemas.companions import companions
from pairmill.schemas.expressions import Expression
from pairmill.schemas.hashing import digest
from pairmill.stages.base import GlobalStage, Stage, default_name

if TYPE_CHECKING:
    from pairmill.plan.blocks import EachBlock


@dataclass(frozen=True)
class PlannedStage:
    """One stage with everything that can be known of it before a row is seen."""

    index: int
    name: str
    stage: Stage
    reads: tuple[str, ...]
    writes: pa.Schema
    gate: Expression | None
    when: Expression | None
    definition: dict[str, Any]
    """What decides its values, beside those that it reads: in clear, for people."""
    identity: str | None
    """What decides its values, shards aside: its definition and those of the stages before that it
    reads.  None for a global stage, and for what reads its columns, until the rows it looks at are
    known.
    """
    decides: dict[str, Any] | None = None
    """The definition as it is hashed, where names that it has in clear decide nothing."""
    population: str | None = None
    """Of a global stage: a digest of the rows that it looks at."""
    taken: tuple[str, ...] = ()
    """Payload that outputs take of the rows that are alive after this stage (`after:`), whatever
    later gates say.
    """
    block: "EachBlock | None" = None
    """Of an `each` block: what runs over the elements.  The stage itself brings columns back."""
    given: tuple[str, ...] = ()
    """Columns by which stages before decide, by `when`, whether those that it may lack have values.
    """

    @property
    def config(self) -> Any:
        """The stage's config."""
        return self.stage.config

    @property
    def is_global(self) -> bool:
        """Whether it looks at all rows."""
        return isinstance(self.stage, GlobalStage)

    @property
    def is_alone(self) -> bool:
        """Whether it is a phase by itself, since it needs all rows decided before it."""
        return self.is_global or self.block is not None

    @cached_property
    def narrow_names(self) -> tuple[str, ...]:
        """What stands for its columns in a frame: of payload what is beside it."""
        beside = ([c.name for c in companions(f)] or [f.name] for f in self.writes)
        return tuple(name for names in beside for name in names)

    @cached_property
    def asked(self) -> str:
        """A digest of what decides, beside what it stores, what becomes of rows at it."""
        told = (
            self.name,
            tuple(self.writes.names),
            self.reads,
            tuple(sorted(self.stage.may_lack())),
            self.config.on_missing,
            self.when.text if self.when else None,
            self.gate.text if self.gate else None,
        )
        return digest(told)

    @property
    def computes(self) -> bool:
        """Whether it writes columns, and is not only a gate."""
        return len(self.writes) > 0

    @cached_property
    def definition_id(self) -> str:
        """Digest of the definition."""
        return digest(self.decides or self.definition)

    @cached_property
    def column_set(self) -> str:
        """Name of the folder of its stored columns, whatever the stage is called."""
        return f"{default_name(self.config.stage)}-{self.definition_id}"

    @property
    def label(self) -> str:
        """Tells it from others in claims and caches: it writes columns under its own name."""
        return f"{self.name}-{self.identity or self.definition_id}"

    @cached_property
    def stored_names(self) -> dict[str, str]:
        """Its columns → what they are called where they are stored."""
        return stored_names(self.stage, self.writes)

    def touches(self) -> set[str]:
        """Columns it needs of the rows that come to it: inputs, and those of `when` and of `keep`
        that it does not write.
        """
        return {*self.reads, *self.compared()} - set(self.writes.names)

    def compared(self) -> set[str]:
        """Columns that `when` and `keep` name, but for those that it writes."""
        named = {
            *(self.when.columns if self.when else ()),
            *(self.gate.columns if self.gate else ()),
        }
        return named - set(self.writes.names)

    def payload(self) -> list[str]:
        """Its columns that hold bytes."""
        return [f.name for f in self.writes if is_payload(f.type)]

    def columns_in(self, unit: str) -> list[str]:
        """Its columns that are counted in a unit."""
        return [f.name for f in self.writes if unit_of(f) == unit]


def every_stage(stages: Sequence[PlannedStage]) -> list[PlannedStage]:
    """All stages, those of blocks in front of what brings back their columns."""
    return [stage for _, stage in with_places(stages)]


def with_places(
    stages: Sequence[PlannedStage], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], PlannedStage]]:
    """Every stage with its place in the pipeline file."""
    for i, stage in enumerate(stages):
        place = (*path, "stages", i)
        if stage.block is not None:
            yield from with_places(stage.block.stages, place)
        yield place, stage


def set_places(
    stages: Sequence[PlannedStage], path: str = "stages"
) -> Iterator[tuple[str, PlannedStage]]:
    """Every stage with its place as `--set` has it, such as `stages.each tiles.stages.clip`."""
    for stage in stages:
        place = f"{path}.{stage.name}"
        if stage.block is not None:
            yield from set_places(stage.block.stages, f"{place}.stages")
        yield place, stage
