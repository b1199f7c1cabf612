"""The kept rows' uids as DataComp's tools read a subset."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.errors import RunError
from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows, Writer
from pairmill.schemas.config import SPEED
from pairmill.schemas.pipeline import OutputConfig

HEX = re.compile(r"[0-9a-f]{32}")
DTYPE = np.dtype("u8,u8")


class UidsOutputConfig(OutputConfig):
    """`uids.npy`: sorted, dtype `u8,u8`, the two halves of each uid; what DataComp's resharder
    takes
    as a subset.
    """

    type: Annotated[Literal["uids"], SPEED] = "uids"
    samples_per_shard: int = Field(100_000_000, ge=1, le=1_000_000_000)
    """Uids in one file; more go to `uids-00001.npy` and so on."""


class UidsWriter(Writer):
    """Uids must be 32 hex digits, as DataComp's and pairmill's own are."""

    Config = UidsOutputConfig

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        if self.config.columns is not None:
            yield ("columns",), "the uids output holds uids alone; `type: table` takes `columns:`"

    def quality_columns(self, schema: pa.Schema) -> list[str]:
        return ["uid"]

    def left_out(self, schema: pa.Schema) -> list[str]:
        return []

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        uids = rows.table.column("uid").to_pylist()
        for uid in uids:
            if not HEX.fullmatch(uid):
                raise RunError(
                    f"output {self.config.path}: the uid {uid!r} is not 32 hex digits (lower "
                    "case), as "
                    "a subset of DataComp needs; take `type: table` with `columns: [uid]`, or "
                    "leave "
                    "the input's uids aside"
                )
        pairs = np.array([(int(u[:16], 16), int(u[16:], 16)) for u in uids], DTYPE)
        pairs.sort()
        name = "uids.npy" if shard == 0 else f"uids-{shard:05d}.npy"
        yield OutputFile(name, lambda stream: np.lib.format.write_array(stream, pairs))

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(None, pa.schema([]))
