"""From stage configs to planned stages, those of `each` blocks too; all problems are noted."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from pairmill.plan.blocks import EachBlock, child_columns
from pairmill.plan.declared import BadStage, Declared, declared, faults
from pairmill.plan.identity import definition_of
from pairmill.plan.planned import PlannedStage
from pairmill.plan.presence import conditions_of
from pairmill.plan.remedies import Report, advice, expression, key_about
from pairmill.schemas.arrow import is_list, is_payload
from pairmill.schemas.config import StageConfig
from pairmill.schemas.expressions import advised, unknown_column
from pairmill.schemas.hashing import NoStableForm
from pairmill.stages.base import GlobalStage, default_name
from pairmill.stages.each import CollectStage, EachConfig

Keys = tuple[str | int, ...]
BLOCK_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


@dataclass
class StagePlanner:
    """What stages of a pipeline have in common, whichever table they are over: the seed, and names,
    which are unique over all of them.
    """

    seed: int
    note: Report
    redact: Callable[[Any], Any]
    names: dict[str, str] = field(default_factory=dict)
    """Name of a stage → its number, in words."""

    def planned(
        self,
        configs: Sequence[StageConfig],
        schema: pa.Schema,
        path: Keys = (),
        before: Sequence[str] = (),
        owner: str = "the source",
    ) -> list[PlannedStage]:
        """The stages in order.  `schema`: the columns of the rows, which `owner` gives; `before`:
        types of stages that stand in front.
        """
        writers = {name: owner for name in schema.names}
        found: list[PlannedStage] = []
        for i, config in enumerate(configs):
            place, types = (*path, "stages", i), [*before, *(c.stage for c in configs[:i])]
            one = self.one(config, schema, place, types, found, writers)
            if isinstance(one, pa.Schema):
                schema = one
            elif one is not None:
                schema = with_columns(schema, one.writes)
                found.append(one)
        return found

    def one(
        self,
        config: StageConfig,
        schema: pa.Schema,
        path: Keys,
        before: list[str],
        earlier: Sequence[PlannedStage],
        writers: dict[str, str],
    ) -> PlannedStage | pa.Schema | None:
        """One stage; where it is wrong, the columns that there are behind it, if they can be
        told.
        """
        block = None
        try:
            if isinstance(config, EachConfig):
                key = key_of(config.each, earlier)
                opened = self.opened(config, schema, path, before, key)
                if opened is None:
                    return None
                block, declaration = opened
            else:
                declaration = declared(config, self.seed, schema)
        except BadStage as error:
            self.note((*path, *([error.field] if error.field else [])), str(error))
            return None
        stage, reads, writes = declaration.stage, declaration.reads, declaration.writes
        if stage.name in self.names:
            self.note(
                path,
                f"two stages are named {stage.name!r} (the other is {self.names[stage.name]}); "
                "give one of them `name:`, which also prefixes its columns",
            )
            return None
        self.names[stage.name] = number_of(path)
        for column in reads:
            if column not in schema.names:
                remedy = advice(column, before)
                at = (*path, *key_about(config, column))
                what = unknown_column(f"stage {stage.name}", column, schema.names)
                self.note(at, advised(what, remedy))
            elif isinstance(stage, GlobalStage) and is_payload(schema.field(column).type):
                self.note(
                    path,
                    f"stage {stage.name!r} looks at all rows and cannot read the "
                    f"payload {column!r}; use a hash of it, such as sha256",
                )
        for other in dict.fromkeys(writers[c] for c in writes.names if c in writers):
            twice = [repr(c) for c in writes.names if writers.get(c) == other]
            columns = f"column{'s' * (len(twice) > 1)} {', '.join(twice)}"
            remedy = f"give the stage {'another' if config.name else 'a'} `name:`"
            if config.stage == "download" and other == "the source":
                remedy = f"take it away if the source's own pictures are meant, else {remedy}"
            self.note(
                path,
                f"stage {stage.name!r} writes the {columns}, which {other} writes too; {remedy}",
            )
        writers |= dict.fromkeys(writes.names, f"stage {stage.name!r}")
        when = expression(config.when, schema, (*path, "when"), self.note, before)
        after = with_columns(schema, writes)
        gate = expression(config.keep, after, (*path, "keep"), self.note, [*before, config.stage])
        try:
            definition, decides = definition_of(declaration, self.redact)
        except NoStableForm as error:
            self.note(path, str(error))
            return after
        given = [one.when for one in conditions_of(stage.may_lack(), earlier) if one.when]
        if given:
            decides = {**decides, "given": [one.text for one in given]}
        return PlannedStage(
            len(earlier),
            stage.name,
            stage,
            tuple(reads),
            writes,
            gate,
            when,
            definition,
            None,
            decides,
            block=block,
            given=tuple(dict.fromkeys(name for one in given for name in one.columns)),
        )

    def opened(
        self, config: EachConfig, schema: pa.Schema, path: Keys, before: list[str], key: str
    ) -> tuple[EachBlock, Declared] | None:
        """A block, and the stage that brings its columns back; None, with faults noted, where there
        is no list, or a stage inside is wrong.
        """
        column, name = config.each, config.block_name
        if column not in schema.names:
            lists = [f.name for f in schema if is_list(f.type)]
            have = f"lists: {', '.join(lists)}" if lists else "no column before it is a list"
            message = f"`each: {column}`: nothing before it writes this column ({have})"
            self.note((*path, "each"), message + advice(column, before))
            return None
        kind = schema.field(column).type
        if not is_list(kind):
            self.note((*path, "each"), f"`each: {column}` needs a list, and {column!r} is {kind}")
            return None
        if not BLOCK_NAME.fullmatch(name):
            self.note(path, f"{name!r} cannot be the name of a block; give it `name:`")
            return None
        element = pa.field(column, kind.value_type, metadata=schema.field(column).metadata)
        fields, inherited, own = child_columns(column, element, schema)
        owner = f"the element of {column!r}, or its parent,"
        stages = self.planned(config.stages, own, path, before, owner)
        if len(stages) < len(config.stages):
            return None
        every = own
        for stage in stages:
            every = with_columns(every, stage.writes)
        sound = True
        for i, wanted in enumerate(config.collect):
            place = (*path, "collect", i)
            if wanted not in every.names:
                self.note(place, unknown_column("`collect:`", wanted, every.names))
                sound = False
            elif is_payload(every.field(wanted).type):
                self.note(
                    place,
                    f"`collect:` brings back no bytes, and {wanted!r} holds some; an output with "
                    f"`rows: {name}` writes them",
                )
                sound = False
        if not sound:
            return None
        block = EachBlock(
            name,
            column,
            fields,
            inherited,
            own,
            tuple(stages),
            tuple(config.collect),
            config.limit,
            key,
        )
        back = CollectStage(config, pa.schema([every.field(c) for c in config.collect]))
        reads, writes = back.reads(), back.writes()
        for fault in faults(back, reads, writes):
            raise BadStage(f"{back.name!r} {fault}")
        return block, Declared(back, {}, reads, writes)


def key_of(column: str, stages: Sequence[PlannedStage]) -> str:
    """What a list is: the type of the stage that writes it, and its name there if the stage had
    none of its own; or what the source calls it.
    """
    writer = next((s for s in stages if column in s.writes.names), None)
    if writer is None:
        return column
    return f"{default_name(writer.config.stage)} {writer.stored_names[column]}"


def with_columns(schema: pa.Schema, writes: pa.Schema) -> pa.Schema:
    """A schema with further columns; one that is there already is a fault, told elsewhere."""
    return pa.schema([*schema, *(f for f in writes if f.name not in schema.names)])


def number_of(path: Keys) -> str:
    """Where a stage stands, in words: `number 2`, and in a block `number 2.1`."""
    return "number " + ".".join(str(int(step) + 1) for step in path if isinstance(step, int))


def narrowed(stages: Sequence[PlannedStage], asked: dict[str, set[str]]) -> list[PlannedStage]:
    """The stages with blocks that have those of their parents' columns alone that somebody reads.
    `asked`: by block, columns that outputs take.
    """
    found = []
    for stage in stages:
        if stage.block is not None:
            inside = tuple(narrowed(stage.block.stages, asked))
            block = replace(stage.block, stages=inside)
            stage = replace(stage, block=block.narrowed(asked.get(block.name, ())))
        found.append(stage)
    return found
