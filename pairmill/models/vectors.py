"""Embeddings as arrays and columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def vectors_of(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of embeddings as float32, (n, d), NaN in rows without one; raises ValueError where
    their lengths differ.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    there = values.drop_null()
    lengths = np.asarray(pc.list_value_length(there), np.int64)
    dim = int(lengths[0]) if len(lengths) else 0
    if (lengths != dim).any():
        raise ValueError(f"embeddings of {lengths.min()} and of {lengths.max()} numbers")
    found = np.full((len(values), dim), np.nan, np.float32)
    numbers = pc.list_flatten(there).to_numpy(zero_copy_only=False)
    found[np.asarray(values.is_valid())] = numbers.astype(np.float32).reshape(len(lengths), dim)
    return found


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float32, (n,): NaN where either row is no vector; raises ValueError where lengths differ."""
    if one.shape != other.shape:
        raise ValueError(f"an embedding of {one.shape[1]} numbers beside one of {other.shape[1]}")
    return (unit(one) * unit(other)).sum(1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows of (n, d) at unit length; rows of zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
