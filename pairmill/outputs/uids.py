"""The kept rows' uids as DataComp's tools read a subset."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pairmill.errors import RunError
from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows, Writer
from pairmill.schemas.config import SPEED
from pairmill.schemas.pipeline import OutputConfig

HEX = r"\A[0-9a-f]{32}\z"
DTYPE = np.dtype("u8,u8")
AT_ONCE = 65_536
"""Uids that are texts of Python's at a time."""


class UidsOutputConfig(OutputConfig):
    """`uids.npy`: sorted, dtype `u8,u8`, the two halves of each uid; what DataComp's resharder
    takes
    as a subset.
    """

    type: Annotated[Literal["uids"], SPEED] = "uids"
    samples_per_shard: int = Field(100_000_000, ge=1, le=1_000_000_000)
    """Uids in one file; more go to `uids-00001.npy` and so on."""


def is_hex(text: str) -> bool:
    """Whether a text has small hex digits alone."""
    return text.isascii() and not text.encode().translate(None, b"0123456789abcdef")


class UidsWriter(Writer):
    """Uids must be 32 hex digits, as DataComp's and pairmill's own are."""

    Config = UidsOutputConfig
    sorts = True

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        if self.config.columns is not None:
            yield ("columns",), "the uids output holds uids alone; `type: table` takes `columns:`"

    def quality_columns(self, schema: pa.Schema) -> list[str]:
        return ["uid"]

    def left_out(self, schema: pa.Schema) -> list[str]:
        return []

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        column = rows.table.column("uid")
        first, second = self.halves(column)
        order = np.argsort(first, kind="stable")
        if (first[order[1:]] == first[order[:-1]]).any():  # as good as never, of digests
            order = np.lexsort((second, first))
        pairs = np.empty(len(first), DTYPE)
        for half, field in zip((first, second), DTYPE.names or (), strict=True):
            pairs[field] = half[order]
        name = "uids.npy" if shard == 0 else f"uids-{shard:05d}.npy"
        yield OutputFile(name, lambda stream: np.lib.format.write_array(stream, pairs))

    def halves(self, column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        """The two halves of each uid, uint64; some at a time, as Python's texts take three times
        what the uids do.  Raises RunError where one is not 32 hex digits.
        """
        first, second = (np.empty(len(column), np.uint64) for _ in range(2))
        done = 0
        for batch in pa.table({"uid": column}).to_batches(max_chunksize=AT_ONCE):
            part = batch.column(0)
            text = "".join(part.to_pylist())
            if not (pc.all(pc.equal(pc.binary_length(part), 32)).as_py() and is_hex(text)):
                sound = np.asarray(pc.match_substring_regex(part, HEX))
                raise RunError(
                    f"output {self.config.path}: the uid {part[int(sound.argmin())].as_py()!r} is "
                    "not 32 hex digits (lower case), as a subset of DataComp needs; take "
                    "`type: table` with `columns: [uid]`, or leave the input's uids aside"
                )
            halves = np.frombuffer(bytes.fromhex(text), ">u8").reshape(-1, 2)
            first[done : done + len(part)], second[done : done + len(part)] = halves.T
            done += len(part)
        return first, second

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(None, pa.schema([]))
