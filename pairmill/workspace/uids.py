"""Uids that are unique over a pool, whatever the input says."""

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.schemas.hashing import row_uid


class UniqueUids:
    """Gives the second and later rows of a uid another one, which depends on the uid and on how
    often it was there before.

    Eight bytes a row are held: hashes in sorted runs, the shorter of which are merged.
    """

    def __init__(self) -> None:
        self.runs: list[np.ndarray] = []
        self.times: dict[str, int] = {}
        """How often a repeated uid was there."""

    def unique(self, uids: pa.Array) -> tuple[pa.Array, list[int]]:
        """The uids, all of them new, and the places at which they were not."""
        hashes = pl.Series(pl.from_arrow(uids)).hash().to_numpy()
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        repeated = np.zeros(len(hashes), bool)
        repeated[order[1:]] = ordered[1:] == ordered[:-1]
        for run in self.runs:
            at = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            repeated |= run[at] == hashes
        self._keep(ordered[np.append(True, ordered[1:] != ordered[:-1])])
        places = np.flatnonzero(repeated).tolist()
        if not places:
            return uids, []
        values = uids.to_pylist()
        for i in places:
            times = self.times[values[i]] = self.times.get(values[i], 1) + 1
            values[i] = row_uid(values[i], f"repeat {times}")
        return pa.array(values, pa.string()), places

    def _keep(self, hashes: np.ndarray) -> None:
        self.runs.append(hashes)
        while len(self.runs) > 1 and len(self.runs[-2]) <= 2 * len(self.runs[-1]):
            last = self.runs.pop()
            self.runs[-1] = np.sort(np.concatenate([self.runs[-1], last]), kind="stable")
