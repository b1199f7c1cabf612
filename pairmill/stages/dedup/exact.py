"""Rows that are equal, as they are or after their texts or addresses were made alike."""

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.schemas.expressions import frame_of
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.kinds import is_text
from pairmill.stages.dedup.normal import normal_texts, normal_urls


class Exact:
    """Equal values in all columns."""

    similarity = True

    def __init__(self, config: DedupConfig) -> None:
        self.config = config

    def reads(self, have: list[str]) -> list[str]:
        return list(self.config.on)

    def check(self, schema: pa.Schema) -> None:
        for name in self.config.on if self.config.normalise != "none" else []:
            if not is_text(schema.field(name).type):
                raise ValueError(
                    f"`normalise: {self.config.normalise}` goes with texts, and {name!r} is "
                    f"{schema.field(name).type}"
                )

    def notes(self) -> list[str]:
        return []

    def load(self, rows: pa.Table) -> pl.DataFrame:
        frame = frame_of(rows.select(self.config.on))
        if self.config.normalise == "none":
            return frame
        alike = normal_texts if self.config.normalise == "text" else normal_urls
        return frame.with_columns(
            alike(frame[name].cast(pl.String)).alias(name) for name in frame.columns
        )

    def unfit(self, seen: pl.DataFrame) -> tuple[np.ndarray, str]:
        return np.zeros(seen.height, bool), ""

    def labels(self, seen: pl.DataFrame, known: pa.Table | None) -> np.ndarray:
        return first_of(seen).to_numpy()

    def scores(self, seen: pl.DataFrame, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.ones(len(left))

    def diameter(self, seen: pl.DataFrame) -> float | None:
        return None

    def nearest(self, seen: pl.DataFrame, others: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        places = others.with_row_index("__at")
        for name, kind in seen.schema.items():
            if places.schema[name] != kind:
                places = of_type(places, name, kind)
        places = places.unique(others.columns, keep="first", maintain_order=True)
        met = seen.join(
            places, on=others.columns, how="left", maintain_order="left", nulls_equal=True
        )
        at = met["__at"].cast(pl.Int64).fill_null(-1).to_numpy()
        return at, np.where(at >= 0, 1.0, np.nan)

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        return None

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        return None

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        return [self.load(rows).hash_rows().to_numpy()]


def of_type(members: pl.DataFrame, name: str, kind: pl.DataType) -> pl.DataFrame:
    """Members of a set whose values mean the same in the rows' type; no 1.5 is cut to 1.  Raises
    ValueError where the types have nothing in common.
    """
    theirs = members.schema[name]
    try:
        cast = members.with_columns(pl.col(name).cast(kind, strict=False).alias("__as"))
        if not (kind.is_float() and theirs.is_float()):
            back = pl.col("__as").cast(theirs, strict=False)
            cast = cast.filter(back.eq_missing(pl.col(name)))
    except pl.exceptions.PolarsError:
        raise ValueError(f"{name!r} is {theirs} there, and {kind} in the rows") from None
    return cast.drop(name).rename({"__as": name})


def first_of(frame: pl.DataFrame) -> pl.Series:
    """For each row the position of the first that is equal to it."""
    if all(is_plain(kind) for kind in frame.dtypes):
        at = first_by(frame.hash_rows().to_numpy())
        others = np.flatnonzero(at != np.arange(len(at)))  # a row is equal to itself
        heads = at[others]
        if all(
            c.gather(heads).equals(c.gather(others), null_equal=True) for c in frame.iter_columns()
        ):
            return pl.Series("__at", at)
    numbered = frame.with_row_index("__at")
    return numbered.select(pl.col("__at").first().over(frame.columns).cast(pl.Int64))["__at"]


def is_plain(kind: pl.DataType) -> bool:
    """Whether equal values of a type have equal hashes; of 0.0 and -0.0 that is not promised."""
    return kind in (pl.String, pl.Binary, pl.Boolean, pl.Date) or kind.is_integer()


def first_by(hashes: np.ndarray) -> np.ndarray:
    """For each row the position of the first of the same hash, int64; `hashes` are uint64.

    Rows meet in the slots of a table, by some bits of their hash; those that met another hash there
    try again by other bits (the first of each slot is done in any case).  Some rows at a time: new
    memory costs more than the work.
    """
    count = len(hashes)
    narrow = np.uint32 if count < 2**32 else np.int64
    found = np.empty(count, np.int64)
    left, factor = np.arange(count, dtype=narrow), 1
    while len(left):
        bits = np.uint64(max(8, (2 * len(left)).bit_length()))
        first = np.full(1 << int(bits), count - 1, narrow)
        parts = [left[at : at + AT_ONCE] for at in range(0, len(left), AT_ONCE)]
        for rows in parts:
            np.minimum.at(first, slots(hashes[rows], factor, bits), rows)
        others = []
        for rows in parts:
            own = hashes[rows]
            met = first[slots(own, factor, bits)]
            found[rows] = met
            others.append(rows[hashes[met] != own])
        left, factor = np.concatenate(others), factor * ODD % 2**64
    return found


def slots(hashes: np.ndarray, factor: int, bits: np.uint64) -> np.ndarray:
    """The upper bits of hashes that were multiplied."""
    return (hashes * np.uint64(factor) >> np.uint64(64) - bits).astype(np.int64)


AT_ONCE = 1 << 18
ODD = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: a product by it moves low bits up (Knuth 6.4)."""
