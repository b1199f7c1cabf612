"""A faiss index over vectors that lie in several arrays, and how much of the truth it finds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pairmill.models.neighbours import faiss

EXACT_ROWS = 50_000
"""Up to so many rows the index compares every one."""
SAMPLE_PER_CELL = 64
ASKED, NEAREST = 200, 10
"""Rows that are asked for, and neighbours of each, to measure recall."""
MOST_PROBES = 1_024
Load = Callable[[], np.ndarray]
"""Reads one array, float16 or float32 (n, d)."""


@dataclass(frozen=True)
class NeighbourIndex:
    """`data`: the file.  `facts`: what a manifest tells of it."""

    data: bytes
    facts: dict[str, Any]


def neighbour_index(parts: Sequence[Load], cells: int | None, recall: float) -> NeighbourIndex:
    """The index of all rows of `parts`, one behind the other, by inner product.

    Rows are compared one by one where they are few and `cells` is not given; else they lie in
    k-means cells at half precision, and as many cells are looked into (`probes`, which faiss reads
    off the file) as it takes to find the share `recall` of the ten nearest.
    """
    library = faiss()
    sizes = [len(load()) for load in parts]
    rows, width = sum(sizes), parts[0]().shape[1]
    if cells is None and rows <= EXACT_ROWS:
        index = library.IndexFlatIP(width)
        add(index, parts)
        facts = {"kind": "exact", "probes": None, "recall": 1.0}
    else:
        count = min(cells or round(rows**0.5), rows)
        quantizer = library.IndexFlatIP(width)
        scalar = library.ScalarQuantizer.QT_fp16
        index = library.IndexIVFScalarQuantizer(
            quantizer, width, count, scalar, library.METRIC_INNER_PRODUCT, False
        )
        index.train(sampled(parts, sizes, count * SAMPLE_PER_CELL))
        add(index, parts)
        asked = sampled(parts, sizes, ASKED)
        truth = exact_neighbours(parts, asked)
        index.nprobe, found = enough_probes(index, asked, truth, recall)
        facts = {"kind": f"{count} k-means cells", "probes": index.nprobe, "recall": found}
    data = library.serialize_index(index).tobytes()
    return NeighbourIndex(data, {"metric": "inner product", "rows": rows, "dim": width, **facts})


def add(index: Any, parts: Sequence[Load]) -> None:
    """Puts the rows of all parts into an index, in order."""
    for load in parts:
        index.add(wide(load()))


def wide(vectors: np.ndarray) -> np.ndarray:
    """float32, as faiss reads it."""
    return np.ascontiguousarray(vectors, np.float32)


def sampled(parts: Sequence[Load], sizes: Sequence[int], wanted: int) -> np.ndarray:
    """So many rows, or all, at even distances; float32 (n, d)."""
    rows = sum(sizes)
    places = np.unique(np.linspace(0, rows - 1, min(wanted, rows)).astype(np.int64))
    starts = np.cumsum([0, *sizes])
    return np.concatenate(
        [
            wide(load()[places[(places >= a) & (places < b)] - a])
            for load, a, b in zip(parts, starts[:-1], starts[1:], strict=True)
        ]
    )


def exact_neighbours(parts: Sequence[Load], asked: np.ndarray) -> np.ndarray:
    """Numbers of the rows nearest to each asked vector, itself among them; int64 (q, 1 + 10)."""
    library = faiss()
    heap = library.ResultHeap(len(asked), NEAREST + 1, keep_max=True)
    first = 0
    for load in parts:
        block = library.IndexFlatIP(asked.shape[1])
        block.add(wide(load()))
        products, numbers = block.search(asked, min(NEAREST + 1, block.ntotal))
        heap.add_result(products, np.where(numbers < 0, -1, numbers + first))
        first += block.ntotal
    heap.finalize()
    found: np.ndarray = heap.I
    return found


def enough_probes(
    index: Any, asked: np.ndarray, truth: np.ndarray, recall: float
) -> tuple[int, float]:
    """(cells to look into, share of the true neighbours that are found then)."""
    for probes in doubled(min(index.nlist, MOST_PROBES)):
        index.nprobe = probes
        _, numbers = index.search(asked, truth.shape[1])
        hits = [len(set(a) & set(b)) for a, b in zip(numbers.tolist(), truth.tolist(), strict=True)]
        found = (sum(hits) - len(hits)) / max(1, (truth >= 0).sum() - len(hits))
        if found >= recall or probes == min(index.nlist, MOST_PROBES):
            break
    return probes, round(float(found), 4)


def doubled(most: int) -> Iterator[int]:
    """1, 2, 4, …, and the most."""
    probes = 1
    while probes < most:
        yield probes
        probes *= 2
    yield most
