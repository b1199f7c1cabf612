"""Embeddings as arrays and columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import StageBroken
from pairmill.schemas.arrow import error_array, is_list

SMALL, LARGE = 1e-12, 1e15
"""Lengths of vectors between which float32 holds the squares of their numbers."""
NOT_COMPARABLE = "not_comparable"
"""Class of the failure of a row whose embedding is none that others can be compared with."""


def vectors_of(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of embeddings as float32, (n, d), NaN in rows without one; raises ValueError where
    their lengths differ.
    """
    values = whole(values)
    there = values.drop_null()
    lengths = lengths_of(there)
    dim = int(lengths[0]) if len(lengths) else 0
    if (lengths != dim).any():
        raise ValueError(f"embeddings of {lengths.min()} and of {lengths.max()} numbers")
    return vectors_as_long(values, dim)


def vectors_as_long(values: pa.ChunkedArray | pa.Array, width: int) -> np.ndarray:
    """A column of embeddings as float32, (n, width), NaN in rows without one of so many numbers."""
    values = whole(values)
    there = lengths_of(values) == width
    found = np.full((len(values), width), np.nan, np.float32)
    with np.errstate(over="ignore"):
        found[there] = numbers_of(values, there, width)
    return found


def units_of(values: pa.ChunkedArray | pa.Array, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(unit vectors of a column of embeddings, float32 (n, width), 0 in rows without one of so many
    finite numbers, not all 0; which rows have one, bool (n,)).
    """
    values = whole(values)
    sound = lengths_of(values) == width
    numbers = numbers_of(values, sound, width)
    with np.errstate(over="ignore"):
        found = unit(numbers.astype(np.float32))
    lost = np.flatnonzero(~is_sound(found))  # more than float32 holds, or less
    found[lost] = unit(numbers[lost].astype(np.float64))
    fine = is_sound(found)
    every = np.zeros((len(values), width), np.float32)
    sound[sound] = fine
    every[sound] = found[fine]
    return every, sound


def is_sound(vectors: np.ndarray) -> np.ndarray:
    """Which rows of (n, d) are finite, and not all 0."""
    sound: np.ndarray = np.isfinite(vectors).all(1) & vectors.any(1)
    return sound


def cosines(one: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(cosine of the two embeddings of each row, float32 (n,); which rows have one, bool (n,))."""
    widths, others = lengths_of(one), lengths_of(other)
    found, sound = np.zeros(len(widths), np.float32), np.zeros(len(widths), bool)
    for width in np.unique(widths[(widths == others) & (widths > 0)]).tolist():
        (left, is_left), (right, is_right) = units_of(one, width), units_of(other, width)
        here = is_left & is_right
        found[here], sound[here] = (left[here] * right[here]).sum(1), True
    return found, sound


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows of (n, d) at unit length, however large or small their numbers are; rows of zeros
    stay zeros, and rows with NaN or infinity are NaN.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        found: np.ndarray = vectors / np.maximum(norms, SMALL)
    wide = norms.astype(np.float64)
    odd = np.flatnonzero(~((wide >= SMALL) & (wide <= LARGE)))
    if len(odd):
        even = even_sized(vectors[odd])
        found[odd] = even / np.maximum(np.linalg.norm(even, axis=1, keepdims=True), 1)
    return found


def even_sized(vectors: np.ndarray) -> np.ndarray:
    """Rows of (n, d) whose largest number is made 1 in size, NaN where one is not finite; zeros
    stay zeros.  float64.
    """
    wide = vectors.astype(np.float64)
    most = np.abs(wide).max(1, initial=0, keepdims=True)
    fine = np.isfinite(most)
    return np.where(fine, wide, np.nan) / np.where(fine & (most > 0), most, 1)


def lengths_of(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Numbers in each embedding, int64, -1 where there is none."""
    lengths = pc.fill_null(pc.list_value_length(whole(values)), -1)
    return np.asarray(lengths).astype(np.int64)


def common_length(lengths: np.ndarray) -> int:
    """The length that most of them have, the least of those that are as many; 0 of none."""
    there = lengths[lengths >= 0]
    return int(np.bincount(there).argmax()) if len(there) else 0


def shared_length(stage: str, columns: Sequence[str], rows: pa.Table) -> int:
    """The length in which most rows' embeddings of these columns agree.  Raises StageBroken where
    they agree in none, but for rows without any.
    """
    lengths = [lengths_of(rows.column(name)) for name in columns]
    agreed = np.all([own == lengths[0] for own in lengths], axis=0) & (lengths[0] > 0)
    mine = [common_length(own[own > 0]) for own in lengths]
    if not agreed.any() and all(mine):
        said = ", ".join(f"{name!r} has {n}" for name, n in zip(columns, mine, strict=True))
        raise StageBroken(
            f"stage {stage!r}: embeddings of different lengths cannot be compared ({said} numbers);"
            " are they of two models?"
        )
    return common_length(lengths[0][agreed])


def unlike(sound: np.ndarray, *columns: str) -> pa.Array:
    """Errors of the rows whose embeddings are not `sound`."""
    names = " or ".join(repr(name) for name in columns)
    why = f"{names} is no vector of as many finite numbers as the others, not all 0"
    return error_array(None if fine else (NOT_COMPARABLE, why) for fine in sound)


def check_embeddings(schema: pa.Schema, *columns: str) -> None:
    """Raises ValueError where a column holds no embeddings, or where two columns that are compared
    hold some of different lengths.
    """
    lengths: dict[str, int] = {}
    for name in (n for n in columns if n in schema.names):
        kind = schema.field(name).type
        number = is_list(kind) and (
            pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
        )
        if not number:
            raise ValueError(
                f"{name!r} is {kind}; embeddings are lists of numbers, as `embed` writes them"
            )
        if pa.types.is_fixed_size_list(kind):
            lengths[name] = kind.list_size
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name!r} has {n}" for name, n in lengths.items())
        raise ValueError(
            f"embeddings of different lengths cannot be compared ({said} numbers); are they of two "
            "models?"
        )


def whole(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def numbers_of(values: pa.Array, which: np.ndarray, width: int) -> np.ndarray:
    """The numbers of some rows, all of them embeddings of `width`, in the column's own type."""
    flat = pc.list_flatten(values.filter(pa.array(which)))
    numbers: np.ndarray = flat.to_numpy(zero_copy_only=False)
    return numbers.reshape(-1, width) if width else numbers.reshape(int(which.sum()), 0)
