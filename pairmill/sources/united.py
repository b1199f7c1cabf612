"""Several sources as one: the rows of each behind those of the one before, columns united."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.arrow import POOL_COLUMNS
from pairmill.schemas.pipeline import SourceConfig, SourcesConfig
from pairmill.sources.base import Input, NoInput, Remark, Source, Unit, Unreadable
from pairmill.sources.file_looks import FileLooks
from pairmill.sources.globs import Written, no_folder
from pairmill.sources.plain_types import plain_type
from pairmill.sources.values import fitted, no_fit
from pairmill.sources.widening import Seen, TypesDiffer, common_type, settled, unsettled

Problem = TypeVar("Problem", bound=Unreadable | Remark)
WITHIN = "source_within"
"""What `source` says of a row within its own source: the file, or the input's own column."""


class UnitedSource(Source):
    """Rows of several sources, each with its source's name in `source`.

    What stood there goes to `source_within`.  A column that a source does not have is null in its
    rows.  `doc_id` begins with the source's name, so that documents of two sources are two.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        super().__init__(SourcesConfig.of({name: one.config for name, one in sources.items()}))
        self.sources = dict(sources)

    def take_looks(self, looks: FileLooks) -> None:
        super().take_looks(looks)
        for one in self.sources.values():
            one.take_looks(looks)

    def leave_out(self, own: Sequence[str], written: Written = no_folder) -> None:
        for one in self.sources.values():
            one.leave_out(own, written)

    def take_config(self, config: SourceConfig) -> None:
        assert isinstance(config, SourcesConfig)
        self.config = config
        for name, one in config.sources.items():
            self.sources[name].take_config(one)

    def parts(self) -> dict[tuple[str, ...], Source]:
        return {(name,): source for name, source in self.sources.items()}

    def options(self) -> dict[str, object]:
        named = [[name, source.options()] for name, source in self.sources.items()]
        return {"type": self.config.type, "options": {"sources": named}}

    def inputs(self) -> list[Input]:
        return [
            replace(item, name=f"{name}: {item.name}")
            for name, source in self.sources.items()
            for item in source.inputs()
        ]

    def schema(self) -> pa.Schema:
        return self._schema

    @cached_property
    def _schema(self) -> pa.Schema:
        schemas = {name: source.schema() for name, source in self.sources.items()}
        columns: dict[str, list[tuple[str, pa.Field]]] = {}
        for name, schema in schemas.items():
            for field in schema:
                if field.name not in ("source", WITHIN):
                    columns.setdefault(field.name, []).append((name, field))
        fields, faults = [], []
        for column, given in columns.items():
            try:
                fields.append(self._united(column, given))
            except TypesDiffer as error:
                faults.append(str(error))
        if faults:
            raise NoInput("; ".join(faults))
        doc = {"doc": "input file of the row, or what its source had in a column `source`"}
        return pa.schema([*fields, pa.field(WITHIN, pa.string(), metadata=doc)])

    def _united(self, column: str, given: list[tuple[str, pa.Field]]) -> pa.Field:
        """One field for a column of several sources; raises TypesDiffer, naming two files."""
        metadata = next((f.metadata for _, f in given if f.metadata), None)
        if column in POOL_COLUMNS.names:
            return pa.field(column, POOL_COLUMNS.field(column).type, metadata=metadata)
        seen = [
            Seen(
                f"{self.sources[name].file_with(column)} (source {name!r})",
                unsettled(f.type) if column in self.sources[name].unseen() else plain_type(f.type),
            )
            for name, f in given
        ]
        return pa.field(column, settled(common_type(column, seen)), metadata=metadata)

    def mapping(self) -> list[str]:
        return [
            f"{name}: {line}" for name, source in self.sources.items() for line in source.mapping()
        ]

    def file_with(self, column: str) -> str:
        holders = (s for s in self.sources.values() if column in s.schema().names)
        return next((s.file_with(column) for s in holders), super().file_with(column))

    def advice(self, column: str) -> str:
        lines = (f"{name}: {source.advice(column)}" for name, source in self.sources.items())
        return "; ".join(lines)

    def remarks(self) -> list[Remark]:
        return [of(name, r) for name, source in self.sources.items() for r in source.remarks()]

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        for unit in self.units():
            yield from unit.read()

    def units(self) -> list[Unit]:
        """Those of each source, behind those of the one before; what is known of one stays known
        where another comes or goes.
        """
        options = {name: source.options() for name, source in self.sources.items()}
        return [
            Unit(
                tuple(replace(item, name=f"{name}: {item.name}") for item in unit.items),
                partial(self._rows_of, name, unit),
                repr((name, unit.how)),
                unit.passed,
                partial(self._parts_of, name, unit),
                unit.heard,
                unit.at_hand,
                options[name] if unit.options is None else unit.options,
                unit.rows,
            )
            for name, source in self.sources.items()
            for unit in source.units()
        ]

    def _parts_of(self, name: str, unit: Unit) -> list[Any]:
        return [partial(self._rows_of, name, in_silence(unit))]

    def _rows_of(self, name: str, unit: Unit) -> Iterator[pa.Table | Unreadable | Remark]:
        rows, file = 0, f" {unit.items[0].name}" if len(unit.items) == 1 else ""
        for part in unit.read():
            if isinstance(part, pa.Table):
                yield from self._finished(name, part, f"{name}:{file} row", rows)
                rows += part.num_rows
            else:
                yield of(name, part)

    def _finished(
        self, name: str, part: pa.Table, place: str, before: int
    ) -> Iterator[pa.Table | Unreadable]:
        """Rows of a source in the columns and types of all; those that do not fit come apart."""
        columns: dict[str, pa.ChunkedArray] = {}
        bad: dict[int, Unreadable] = {}
        for field in self._schema:
            if field.name == WITHIN:
                continue
            if field.name not in part.schema.names:
                columns[field.name] = pa.nulls(part.num_rows, field.type)
                continue
            values = part.column(field.name)
            columns[field.name], places = fitted(values, field.type)
            for i in places:
                where = f"{place} {before + i}"
                why = no_fit(values[i].as_py(), field.type)
                bad.setdefault(i, Unreadable(where, why, field.name))
        if "doc_id" in part.schema.names:
            columns["doc_id"] = pc.binary_join_element_wise(f"{name}/", columns["doc_id"], "")
        columns[WITHIN] = within(part)
        columns["source"] = pa.repeat(pa.scalar(name, pa.string()), part.num_rows)
        table = pa.table(columns)
        if bad:
            yield from (bad[i] for i in sorted(bad))
            table = table.filter(pa.array([i not in bad for i in range(part.num_rows)]))
        yield table


def in_silence(unit: Unit) -> Unit:
    """A unit whose misfits somebody else counts."""

    def read() -> Iterator[pa.Table | Unreadable | Remark]:
        for part in unit.parts() or (unit.read,):
            yield from part()

    return replace(unit, read=read)


def within(part: pa.Table) -> pa.Array | pa.ChunkedArray:
    """What the rows of one source say of where they come from: `source`, and behind a slash what
    stood in a `source_within` of an earlier union.
    """
    names = part.schema.names
    first = part.column("source").cast(pa.string()) if "source" in names else None
    if first is None:
        return pa.nulls(part.num_rows, pa.string())
    if WITHIN not in names:
        return first
    second = part.column(WITHIN).cast(pa.string())
    return pc.coalesce(pc.binary_join_element_wise(first, second, "/"), first, second)


def of(name: str, part: Problem) -> Problem:
    """What a source says, with its name."""
    return replace(part, location=f"{name}: {part.location}")
