"""Embeddings that point the same way: k-means cells, and the cosine inside them (SemDeDup, Abbas et
al. 2023); all pairs where rows are few.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pairmill.models.vectors import common_length, lengths_of, units_of
from pairmill.schemas.arrow import is_list
from pairmill.schemas.expressions import frame_of
from pairmill.stages.components import Forest
from pairmill.stages.dedup.config import DedupConfig

EXACT_ROWS = 20_000
"""Up to so many rows every pair is compared."""
SAMPLE_PER_CELL = 64
"""Rows of a sample for each cell that k-means looks for."""
ROUNDS = 10
BLOCK = 2_048
"""Rows that are multiplied with others in one go."""
ENDS = 1e-5
"""What a cosine may be off by, in float32: threshold 1 finds what is the same."""


@dataclass
class Vectors:
    """`units`: float32, (n, d), of unit length.  `bad`: rows that have none."""

    units: np.ndarray
    bad: np.ndarray


class Semantic:
    """Cosine of at least `threshold`."""

    similarity = True

    def __init__(self, config: DedupConfig) -> None:
        self.config = config

    def reads(self, have: list[str]) -> list[str]:
        return list(self.config.on)

    def check(self, schema: pa.Schema) -> None:
        kind = schema.field(self.config.on[0]).type
        if not is_list(kind) or not pa.types.is_floating(kind.value_type):
            raise ValueError(
                f"{self.config.on[0]!r} is {kind}; embeddings are lists of numbers, as `embed` and "
                "`clip` with `embeddings:` write them"
            )

    def notes(self) -> list[str]:
        return [
            f"up to {EXACT_ROWS:,} rows (where `cells` is not given) all pairs are compared; "
            "beyond, those of which one lies in "
            f"one of the other's {self.config.probes} nearest cells"
        ]

    def load(self, rows: pa.Table) -> Vectors:
        column = rows.column(self.config.on[0])
        units, sound = units_of(column, common_length(lengths_of(column)))
        return Vectors(units, ~sound)

    def unfit(self, seen: Vectors) -> tuple[np.ndarray, str]:
        return seen.bad, "is no vector of as many finite numbers as the others, not all 0"

    def labels(self, seen: Vectors, known: pa.Table | None) -> np.ndarray:
        forest = Forest(len(seen.units))
        every = np.arange(len(seen.units))
        if known is None:
            for left, right in self.pairs(seen.units, every, every):
                forest.join(left, right)
            return forest.labels()
        cells = self.nearest_cells(seen.units, centres_of(known))
        home = cells[:, :1]
        for members, visitors in met(home, cells):
            for left, right in self.pairs(seen.units, members, visitors):
                forest.join(left, right)
        return forest.labels()

    def pairs(
        self, units: np.ndarray, members: np.ndarray, visitors: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of members and visitors at or above the threshold, block by block."""
        for first in range(0, len(members), BLOCK):
            one = members[first : first + BLOCK]
            for second in range(first if members is visitors else 0, len(visitors), BLOCK):
                two = visitors[second : second + BLOCK]
                cosine = self.products(units[one], units[two])
                i, j = np.nonzero(cosine >= self.config.least - ENDS)
                yield one[i], two[j]

    def products(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """Cosines of all pairs, on the GPU where there is one."""
        if (device := self.gpu()) is None:
            return one @ two.T
        import torch

        left, right = (torch.from_numpy(v).to(device) for v in (one, two))
        found: np.ndarray = (left @ right.T).cpu().numpy()
        return found

    def gpu(self) -> str | None:
        """The device that is not this machine's processor."""
        driver = os.path.exists("/dev/nvidiactl")  # torch takes seconds to say as much
        if self.config.device == "cpu" or (self.config.device == "auto" and not driver):
            return None
        import torch

        if torch.cuda.is_available():
            return "cuda"
        if self.config.device == "cuda":
            raise ValueError("device is cuda, and torch sees no GPU")
        return None

    def nearest_cells(self, units: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """int64, (n, probes): the nearest cells of each row, the nearest first."""
        probes = min(self.config.probes, len(centres))
        found = np.empty((len(units), probes), np.int64)
        for first in range(0, len(units), BLOCK):
            cosine = self.products(units[first : first + BLOCK], centres)
            near = np.argpartition(-cosine, probes - 1, axis=1)[:, :probes]
            by = np.argsort(-np.take_along_axis(cosine, near, 1), axis=1, kind="stable")
            found[first : first + BLOCK] = np.take_along_axis(near, by, 1)
        return found

    def scores(self, seen: Vectors, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found = np.empty(len(left))
        for first in range(0, len(left), BLOCK):
            i, j = left[first : first + BLOCK], right[first : first + BLOCK]
            found[first : first + BLOCK] = np.einsum("nd,nd->n", seen.units[i], seen.units[j])
        return found

    def diameter(self, seen: Vectors) -> float | None:
        return 2 * (1 - self.config.least)

    def nearest(self, seen: Vectors, others: Vectors) -> tuple[np.ndarray, np.ndarray]:
        if len(others.units) and seen.units.shape[1] != others.units.shape[1]:
            raise ValueError(
                f"its embeddings have {others.units.shape[1]} numbers, and the rows' "
                f"{seen.units.shape[1]}"
            )
        best, found = np.full(len(seen.units), -1.0), np.full(len(seen.units), -1)
        for first in range(0, len(seen.units), BLOCK):
            rows = slice(first, first + BLOCK)
            for second in range(0, len(others.units), BLOCK):
                cosine = self.products(seen.units[rows], others.units[second : second + BLOCK])
                at = cosine.argmax(1)
                score = cosine[np.arange(len(at)), at]
                better = score > best[rows]
                best[rows] = np.where(better, score, best[rows])
                found[rows] = np.where(better, second + at, found[rows])
        near = (best >= self.config.least - ENDS) & ~seen.bad
        return np.where(near, found, -1), np.where(near, best, np.nan)

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        """Rows that are drawn by their uids, so many of all that k-means needs."""
        if total <= EXACT_ROWS and self.config.cells is None:
            return None
        share = min(1.0, self.cells(total) * SAMPLE_PER_CELL / total)
        chance = frame_of(rows.select(["uid"]))["uid"].hash(17).to_numpy() >> np.uint64(32)
        drawn = rows.filter(pa.array(chance <= share * 2**32))
        seen = self.load(drawn)
        vectors = pa.FixedSizeListArray.from_arrays(seen.units.ravel(), seen.units.shape[1] or 1)
        return pa.table({"uid": drawn["uid"], "vector": vectors}).filter(pa.array(~seen.bad))

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        """The centres of the cells."""
        sample = centres_of(samples.sort_by("uid"))
        centres = k_means(sample, min(self.cells(total), len(sample)))
        width = centres.shape[1]
        return pa.table({"vector": pa.FixedSizeListArray.from_arrays(centres.ravel(), width)})

    def cells(self, rows: int) -> int:
        """Number of cells for so many rows."""
        return self.config.cells or round(rows**0.5)

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        """The nearest cells of each row; without cells all rows meet."""
        if known is None:
            return [np.zeros(rows.num_rows, np.uint64)]
        cells = self.nearest_cells(self.load(rows).units, centres_of(known))
        return list(cells.T.astype(np.uint64))


def centres_of(known: pa.Table) -> np.ndarray:
    """The column `vector` as float32, (n, d)."""
    column = known.column("vector").combine_chunks()
    found: np.ndarray = column.flatten().to_numpy().reshape(len(column), -1)
    return found


def met(home: np.ndarray, cells: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each cell the rows that live in it, and those that visit it."""
    own, order_own = np.unique(home.ravel()), np.argsort(home.ravel(), kind="stable")
    flat = cells.ravel()
    order = np.argsort(flat, kind="stable")
    for cell in own:
        lives = slice(*np.searchsorted(home.ravel(), [cell, cell + 1], sorter=order_own))
        visits = slice(*np.searchsorted(flat, [cell, cell + 1], sorter=order))
        yield order_own[lives], order[visits] // cells.shape[1]


def k_means(sample: np.ndarray, cells: int) -> np.ndarray:
    """Spherical k-means from the first rows of the sample; float32, (cells, d)."""
    centres = sample[:cells].copy()
    for _ in range(ROUNDS):
        cell = np.concatenate(
            [(sample[i : i + BLOCK] @ centres.T).argmax(1) for i in range(0, len(sample), BLOCK)]
        )
        order = np.argsort(cell, kind="stable")
        there, starts = np.unique(cell[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centres[there] = sums / np.maximum(np.linalg.norm(sums, axis=1), 1e-9)[:, None]
    return centres
