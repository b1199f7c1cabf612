"""Uids that are unique over a table, whatever the input says."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pairmill.schemas.hashing import row_uid
from pairmill.workspace.digests import uid_hash, uid_hashes


@dataclass(frozen=True)
class SeenUids:
    """What one unit of the input told of uids.  `fresh`: hashes, sorted, of those that were new;
    `repeats`: (uid, how often it was there before the unit, and with it) of those that were not.
    """

    fresh: np.ndarray
    repeats: tuple[tuple[str, int, int], ...] = ()

    @classmethod
    def together(cls, parts: "list[SeenUids]") -> "SeenUids":
        """Of neighbouring units."""
        if len(parts) == 1:
            return parts[0]
        repeats: dict[str, tuple[str, int, int]] = {}
        for uid, before, after in (r for part in parts for r in part.repeats):
            repeats[uid] = (uid, repeats[uid][1] if uid in repeats else before, after)
        return cls(sorted_together([part.fresh for part in parts]), tuple(repeats.values()))


def sorted_together(parts: list[np.ndarray]) -> np.ndarray:
    """All hashes of the parts, each in order, as one: a single copy, as a file may have very many
    rows.  A stable sort finds the runs that are there and merges them: a fifth of the time.
    """
    found = np.concatenate([np.empty(0, np.uint64), *parts])
    found.sort(kind="stable")
    return found


class Sieve:
    """A hash marks two bits of one of many words; which are marked tells whether it may have been
    there.  Eight to sixteen bits a hash: of new ones 19 of 20 or more are known to be new by a look
    at one word.
    """

    def __init__(self, hashes: int = 0) -> None:
        self.shift = np.uint64(64 - max(14, (hashes // 8).bit_length()))
        self.words = np.zeros(1 << (64 - int(self.shift)), np.uint64)
        self.room = 8 * len(self.words)

    def marks(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(word, bits in it) of each hash."""
        one, last = np.uint64(1), np.uint64(63)
        bits = (one << (hashes & last)) | (one << ((hashes >> np.uint64(6)) & last))
        return (hashes >> self.shift).astype(np.int64), bits

    def may_have(self, hashes: np.ndarray) -> np.ndarray:
        """bool: false where a hash was not there for certain."""
        word, bits = self.marks(hashes)
        return (self.words[word] & bits) == bits

    def add(self, hashes: np.ndarray) -> None:
        """The hashes are there from now on."""
        word, bits = self.marks(hashes)
        np.bitwise_or.at(self.words, word, bits)
        self.room -= len(hashes)


TOGETHER = 4
"""Runs of about one length that are merged at once: each hash is moved the more seldom for it."""


class UniqueUids:
    """Gives the second and later rows of a uid another one, which depends on the uid and on how
    often it was there before.

    Nine to ten bytes a row are held: hashes in sorted runs, the shorter of which are merged, and a
    sieve, past which few hashes come that are new.
    """

    def __init__(self) -> None:
        self.sieve = Sieve()
        self.runs: list[np.ndarray] = []
        self.times: dict[str, int] = {}
        """How often a repeated uid was there."""
        self.first = True
        """Whether no unit was there before this one: its hashes are those of `runs` then, and are
        not held twice.
        """
        self.fresh: list[np.ndarray] = []
        self.repeats: dict[str, int] = {}

    def unique(self, uids: pa.Array) -> tuple[pa.Array, list[int]]:
        """The uids, all of them new, and the places at which they were not."""
        places = self.repeated(uid_hashes(uids)).tolist()
        if not places:
            return uids, []
        values = uids.to_pylist()
        for i, other in zip(places, self.others([values[i] for i in places]), strict=True):
            values[i] = other
        return pa.array(values, pa.string()), places

    def repeated(self, hashes: np.ndarray) -> np.ndarray:
        """The places of uids, by their hashes, that were there before; all count as seen then."""
        new = np.sort(hashes)
        if (new[1:] != new[:-1]).all() and not self.has(new).any():
            self._take(new)
            return np.empty(0, np.int64)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        repeated = np.zeros(len(hashes), bool)
        repeated[order[1:]] = ordered[1:] == ordered[:-1]
        known = self.has(ordered)
        repeated[order[known]] = True
        fresh = ordered[np.append(True, ordered[1:] != ordered[:-1]) & ~known]
        self._take(fresh)
        return np.flatnonzero(repeated)

    def others(self, uids: list[str]) -> list[str]:
        """What rows with repeated uids get instead, in order."""
        found = []
        for uid in uids:
            before = self.times.get(uid, 1)
            self.repeats.setdefault(uid, before)
            self.times[uid] = before + 1
            found.append(row_uid(uid, f"repeat {before + 1}"))
        return found

    def has(self, hashes: np.ndarray) -> np.ndarray:
        """Which hashes were there."""
        found = self.sieve.may_have(hashes)
        asked = np.flatnonzero(found)
        if len(asked):
            found[asked] = self.in_runs(hashes[asked])
        return found

    def in_runs(self, hashes: np.ndarray) -> np.ndarray:
        """The same, off the hashes themselves."""
        found = np.zeros(len(hashes), bool)
        for run in self.runs:
            at = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            found |= run[at] == hashes
        return found

    def end_unit(self) -> SeenUids:
        """What the rows since the last call told."""
        repeats = tuple((uid, before, self.times[uid]) for uid, before in self.repeats.items())
        if self.first and self.runs:
            self.runs = [sorted_together(self.runs)]
        fresh = self.runs[0] if self.first and self.runs else sorted_together(self.fresh)
        self.first, self.fresh, self.repeats = False, [], {}
        return SeenUids(fresh, repeats)

    def fits(self, seen: SeenUids) -> bool:
        """Whether units that were read elsewhere would get the same uids here."""
        if self.has(seen.fresh).any():
            return False
        for uid, before, _ in seen.repeats:
            own = np.array([uid_hash(uid)], np.uint64)
            there = self.has(own)[0] or own[0] in seen.fresh
            if not there or self.times.get(uid, 1) != before:
                return False
        return True

    def adopt(self, seen: SeenUids) -> None:
        """Units that fit count as read."""
        self.first = False
        self._keep(seen.fresh)
        self.times |= {uid: after for uid, _, after in seen.repeats}

    def _take(self, hashes: np.ndarray) -> None:
        """Hashes of rows of this unit, in order, that were not there before."""
        if not self.first:
            self.fresh.append(hashes)
        self._keep(hashes)

    def _keep(self, hashes: np.ndarray) -> None:
        if not len(hashes):
            return
        self.runs.append(hashes)
        while len(self.runs) >= TOGETHER and len(self.runs[-TOGETHER]) <= 2 * len(self.runs[-1]):
            merged = self.runs[-TOGETHER:]
            del self.runs[-TOGETHER:]
            self.runs.append(sorted_together(merged))
        if self.sieve.room < len(hashes):
            self.sieve = Sieve(sum(map(len, self.runs)))
            for run in self.runs:
                self.sieve.add(run)
        else:
            self.sieve.add(hashes)
