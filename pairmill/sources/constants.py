"""Columns that have one value in every row of a source: `set:` of its config."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa

from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Input, NoInput, Remark, Source, Unit, Unreadable
from pairmill.sources.faults import KeyFault
from pairmill.sources.file_looks import FileLooks
from pairmill.sources.globs import Written, no_folder

Parts = Iterator[pa.Table | Unreadable | Remark]
TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


class WithConstants(Source):
    """Another source's rows, and the constant columns of its config."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner.config)
        self.inner = inner
        self.constants = {
            name: pa.scalar(value, TYPES[type(value)]) for name, value in inner.config.set.items()
        }

    def take_looks(self, looks: FileLooks) -> None:
        super().take_looks(looks)
        self.inner.take_looks(looks)

    def leave_out(self, own: Sequence[str], written: Written = no_folder) -> None:
        self.inner.leave_out(own, written)

    def take_config(self, config: SourceConfig) -> None:
        self.config = config
        self.inner.take_config(config)

    def inputs(self) -> list[Input]:
        return self.inner.inputs()

    def schema(self) -> pa.Schema:
        inner = self.inner.schema()
        for name in self.constants:
            if name in inner.names:
                what = (
                    f"`set:` gives {name!r}, which {self.inner.file_with(name)} has already; "
                    "choose another name, or leave it away"
                )
                raise NoInput(KeyFault(what, ("set", name)))
        return pa.schema([*inner, *((name, value.type) for name, value in self.constants.items())])

    def unseen(self) -> frozenset[str]:
        return self.inner.unseen()

    def file_with(self, column: str) -> str:
        return "its `set:`" if column in self.constants else self.inner.file_with(column)

    def mapping(self) -> list[str]:
        said = ", ".join(f"{n} = {v.as_py()!r}" for n, v in self.constants.items())
        return [*self.inner.mapping(), f"in every row {said}"]

    def advice(self, column: str) -> str:
        return self.inner.advice(column)

    def remarks(self) -> list[Remark]:
        return self.inner.remarks()

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        yield from self._filled(self.inner.read())

    def units(self) -> list[Unit]:
        """Those of the source itself."""
        return [
            replace(
                unit,
                read=partial(self._of_part, unit.read),
                parts=partial(self._parts_of, unit),
            )
            for unit in self.inner.units()
        ]

    def _parts_of(self, unit: Unit) -> list[Callable[[], Parts]]:
        return [partial(self._of_part, part) for part in unit.parts()]

    def _of_part(self, read: Callable[[], Parts]) -> Parts:
        return self._filled(read())

    def _filled(self, parts: Parts) -> Parts:
        for part in parts:
            if isinstance(part, pa.Table):
                others = [n for n in part.schema.names if n not in self.constants]
                part = part.select(others)  # `source`, which readers fill in, may be set
                for name, value in self.constants.items():
                    part = part.append_column(name, pa.repeat(value, part.num_rows))
            yield part
