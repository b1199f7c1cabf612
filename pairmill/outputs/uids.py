"""The kept rows' uids as DataComp's tools read a subset."""

import sys
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
DTYPE, BYTES = np.dtype("u8,u8"), np.dtype("S16")
"""Of a uid in the file; and as its digest is compared, which sorts faster and in place."""
AT_ONCE = 65_536
"""Uids that are texts of Python's at a time."""


class UidsOutputConfig(OutputConfig):
    """`uids.npy`: sorted, dtype `u8,u8`, the two halves of each uid; what DataComp's resharder
    takes as a subset.
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
    uid_form = HEX

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        if self.config.columns is not None:
            yield ("columns",), "the uids output holds uids alone; `type: table` takes `columns:`"

    def quality_columns(self, schema: pa.Schema) -> list[str]:
        return ["uid"]

    def left_out(self, schema: pa.Schema) -> list[str]:
        return []

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        found = np.empty(rows.count, BYTES)
        done = 0
        for part in rows.narrow():
            for names in part.to_batches(max_chunksize=AT_ONCE):
                digests = self.digests(names.column("uid"))
                found[done : done + len(digests)] = digests
                done += len(digests)
        found.sort()  # in place: there may be a hundred million
        pairs = found.view(np.uint64)
        if sys.byteorder == "little":
            pairs.byteswap(inplace=True)
        pairs = pairs.view(DTYPE)
        name = "uids.npy" if shard == 0 else f"uids-{shard:05d}.npy"
        yield OutputFile(name, lambda stream: np.lib.format.write_array(stream, pairs))

    def digests(self, column: pa.Array) -> np.ndarray:
        """The 16 bytes of each uid.  Raises RunError where one is not 32 hex digits."""
        text = "".join(column.to_pylist())
        if not (pc.all(pc.equal(pc.binary_length(column), 32)).as_py() and is_hex(text)):
            raise RunError(self.odd_uid(column[int(self.sound_uids(column).argmin())].as_py()))
        return np.frombuffer(bytes.fromhex(text), BYTES)

    def odd_uid(self, uid: str) -> str:
        return (
            f"output {self.config.path}: the uid {uid!r} is not 32 hex digits (lower case), as a "
            "subset of DataComp needs; take `type: table` with `columns: [uid]`, or leave the "
            "input's uids aside"
        )

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(None, pa.schema([]))
