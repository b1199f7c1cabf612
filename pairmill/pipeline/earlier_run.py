"""Another pipeline's kept rows as a source: read off its workspace, without a package between."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from pairmill.errors import PipelineFileError
from pairmill.fates.decide import PENDING, Trace
from pairmill.fates.trace import lost_payload, trace
from pairmill.schemas.arrow import POOL_COLUMNS, is_payload
from pairmill.schemas.companions import is_companion
from pairmill.schemas.config import PATH, SPEED
from pairmill.schemas.expressions import unknown_column
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Input, NoInput, Remark, Source, Unreadable
from pairmill.sources.package import PackageConfig, PackageSource
from pairmill.work.block import block_columns

if TYPE_CHECKING:
    from pairmill.plan.chain import Chain

ROWS_AT_ONCE = 256
"""Rows read at the same time, with their bytes."""
OPENING: list[str] = []
"""Pipeline files that are being read, each for the one before it."""


class RunConfig(SourceConfig):
    """The rows that another pipeline kept, or those of a package, with the columns that are
    named.
    """

    type: Annotated[Literal["pairmill"], SPEED] = "pairmill"
    pipeline: Annotated[str | None, PATH] = None
    """Pipeline file of the other; it must have run.  Its rows are read off its workspace."""
    package: Annotated[str | None, PATH] = None
    """Folder or URL of a package instead."""
    rows: str | None = None
    """Name of an `each` block of that pipeline: the elements that it kept, instead of rows."""
    columns: list[str] | None = None
    """Columns to take beside uid, doc_id, position, source, url and text: the source's own and what
    stages wrote; all if absent.
    """

    @model_validator(mode="after")
    def _one(self) -> "RunConfig":
        if (self.pipeline is None) == (self.package is None):
            raise ValueError("give either `pipeline: FILE` or `package: FOLDER`")
        if self.package is not None and self.rows is not None:
            raise ValueError("`rows:` goes with `pipeline:`; a package has the rows it has")
        return self


class RunSource(Source):
    """Values are what the other pipeline's stages computed, under their names; images are copied
    into this pipeline's rows, which is told.
    """

    Config = RunConfig

    @cached_property
    def package(self) -> PackageSource | None:
        """The reader of a package, where that is what is asked for."""
        if self.config.package is None:
            return None
        return PackageSource(PackageConfig(path=self.config.package))

    @cached_property
    def chain(self) -> "Chain":
        """The other pipeline's stages over its rows.  Raises NoInput where they did not run."""
        # not needed by who asks for the keys alone
        from pairmill.pipeline.overview import stored_run
        from pairmill.plan.load import load_pipeline
        from pairmill.plan.plan import make_plan

        path = self.config.pipeline
        with opening(path):
            loaded = load_pipeline(path)
            problem = loaded.document.problem
            plan = make_plan(loaded.config, problem, loaded.secrets.redact_data)
            if plan is None or loaded.document.problems:
                raise PipelineFileError(loaded.document.problems)
            chain = stored_run(plan, None, self.config.rows).chain
        unknown = [s.name for s in chain.stages if s.computes and s.identity is None]
        waiting = (
            0 if unknown else sum(int((f.fate == PENDING).sum()) for _, f in self.fates(chain))
        )
        if unknown or waiting:
            what = f"stage {unknown[0]!r} has not run" if unknown else f"{waiting:,} rows wait"
            raise NoInput(f"{path} has not finished: {what}; `pairmill run {path}` goes on")
        return chain

    def fates(self, chain: "Chain", want: tuple[str, ...] = ()) -> Iterator[tuple[int, Trace]]:
        """What became of the rows, shard by shard."""
        for shard in chain.shards():
            yield shard, trace(chain, shard, want=("uid", *want))

    def inputs(self) -> list[Input]:
        return self.package.inputs() if self.package else []

    def file_with(self, column: str) -> str:
        return str(self.config.pipeline or self.config.package)

    def remarks(self) -> list[Remark]:
        return []

    def options(self) -> dict[str, Any]:
        """The kept rows, and what decides the values of their columns."""
        if self.package:
            return {**super().options(), "package": self.package.options()}
        kept = hashlib.sha256()
        for shard, found in self.fates(self.chain):
            uids = found.frame["uid"].to_list()
            for row in np.flatnonzero(found.alive).tolist():
                kept.update(f"{shard} {row} {uids[row]}\n".encode())
        chain = self.chain
        decides = {
            name: writer.identity if (writer := chain.writer_of(name)) else chain.pool
            for name in self.schema().names
        }
        return {**super().options(), "columns of": decides, "rows": kept.hexdigest()}

    def schema(self) -> pa.Schema:
        """Raises NoInput for a column that is not there."""
        every = self.package.schema() if self.package else self.chain.schema
        if self.config.columns is None:
            return pa.schema([f for f in every if not is_companion(f.name)])
        for name in self.config.columns:
            if name not in every.names:
                raise NoInput(unknown_column("columns", name, every.names))
        wanted = {*POOL_COLUMNS.names, *self.config.columns}
        return pa.schema([f for f in every if f.name in wanted])

    def mapping(self) -> list[str]:
        what = self.config.package or self.config.pipeline
        return [f"the kept rows of {what}: {', '.join(self.schema().names)}"]

    def advice(self, column: str) -> str:
        have = ", ".join(self.schema().names)
        return (
            f"the rows that are taken have no {column!r} (columns: {have}); name it in `columns:`"
        )

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        names = self.schema().names
        if self.package:
            for part in self.package.read():
                yield part.select(names) if isinstance(part, pa.Table) else part
            return
        chain, schema, copied, count = self.chain, self.schema(), 0, 0
        payload = [f.name for f in schema if is_payload(f.type)]
        for shard, found in self.fates(chain, tuple(payload)):
            lost = lost_payload(found, chain, payload) & found.alive
            for row in np.flatnonzero(lost).tolist():
                place = f"{self.config.pipeline} row {chain.first_row(shard) + row}"
                what = (
                    "its bytes are stored no more; run that pipeline with an output that takes them"
                )
                yield Unreadable(place, what, payload[0])
            rows = np.flatnonzero(found.alive & ~lost)
            for first in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[first : first + ROWS_AT_ONCE]
                columns = block_columns(chain, shard, some, names, found, len(chain.stages))
                table = pa.table([columns.column(n) for n in names], schema=schema)
                copied += sum(table.column(n).nbytes for n in payload)
                count += table.num_rows
                yield table
        if payload:
            what = f"{copied / 1e6:,.1f} MB of {', '.join(payload)} lie in this workspace, too"
            yield Remark("rows with copied payload", str(self.config.pipeline), what, count)


@contextmanager
def opening(path: str) -> Iterator[None]:
    """While another pipeline's file is read; raises NoInput where it leads back to itself."""
    place = str(Path(path).absolute())
    if place in OPENING:
        raise NoInput(f"{path} is its own source, by way of {', '.join(OPENING)}")
    OPENING.append(place)
    try:
        yield
    finally:
        OPENING.pop()
