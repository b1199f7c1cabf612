"""Components in parts are those of SciPy over all pairs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pairmill.work.far_components import Part, far_components, near_components

Graph = Callable[[np.random.Generator], np.ndarray]


class OwnHands:
    """Does the steps in this process, one after another."""

    def each(
        self, work: Callable[..., list[Any]], arguments: Sequence[Sequence[Any]], results: int
    ) -> list[list[Part]]:
        return [work(*given) for given in arguments]

    def value(self, part: Part) -> Any:
        return part


def chain(rng: np.random.Generator) -> np.ndarray:
    rows = np.arange(10_000)
    return np.stack([rows[:-1], rows[1:]])


def shuffled_chain(rng: np.random.Generator) -> np.ndarray:
    rows = rng.permutation(10_000)
    return np.stack([rows[:-1], rows[1:]])


def star(rng: np.random.Generator) -> np.ndarray:
    """Its middle is the last row, so that at first no leaf has a smaller neighbour."""
    return np.stack([np.full(9_999, 9_999), np.arange(9_999)])


def many_small(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(9_999).reshape(3, -1)[:2]


def random_graph(rng: np.random.Generator) -> np.ndarray:
    """About as many pairs as make a giant component beside small ones; some pairs of one row."""
    return rng.integers(0, 10_000, (2, 6_000))


def nothing(rng: np.random.Generator) -> np.ndarray:
    return np.zeros((2, 0), np.int64)


@pytest.mark.parametrize("parts", [1, 3, 16])
@pytest.mark.parametrize("graph", [chain, shuffled_chain, star, many_small, random_graph, nothing])
def test_components_in_parts_are_those_of_scipy(graph: Graph, parts: int) -> None:
    rng = np.random.default_rng(5)
    pairs = graph(rng).astype(np.int64)
    pairs = pairs[:, rng.permutation(pairs.shape[1])]
    cut = np.array_split(pairs, 40, axis=1)
    blocks = [pa.table({"one": one, "two": two}) for one, two in cut]
    given = [blocks[part::parts] for part in range(parts)]
    found, rounds = far_components(given, 10_000, OwnHands())
    assert len(found) == parts
    for part, owned in enumerate(found):
        assert (owned[0] * parts // 10_000 == part).all()
    together = np.concatenate(found, axis=1)
    assert np.array_equal(together, near_components(blocks))
    assert rounds <= 14  # of a chain of 10,000, one more than its logarithm
