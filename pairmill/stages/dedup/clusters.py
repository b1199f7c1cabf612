"""Clusters of rows: who stands for each, who is too far from it, what is gathered of all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.expressions import compile_expression, frame_of

TooFar = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(members, who stands for them) → whether they lie too far apart, bool."""


AT_ONCE = 1 << 22
"""Texts in a part of a column; of a uid or an address each, far below two gigabytes."""


FEW = 1 << 18
"""Rows that are looked at in one go: new memory costs more than the work."""


@dataclass(frozen=True)
class Clusters:
    """`stands_for`: position of the row that stands for each row, int64, its own for that one.
    `order`: members of clusters, those that stand for one first, then as they are preferred; None
    where nothing is gathered.
    """

    stands_for: np.ndarray
    sizes: np.ndarray
    order: np.ndarray | None

    @property
    def repeats(self) -> np.ndarray:
        """Positions of rows that another stands for."""
        return np.flatnonzero(self.stands_for != np.arange(len(self.stands_for)))

    def named(self, uids: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """(uid of the row that stands for each row, null for that one; the same with its own uid
        there), in parts that 32-bit offsets reach over.  `uids`: of all rows.
        """
        repeats, others, own = self.repeats, [], []
        heads = texts_at(uids, self.stands_for[repeats])
        first = 0
        for part in parts_of(uids.cast(pa.large_string())):
            begin, end = np.searchsorted(repeats, [first, first + len(part)]).tolist()
            places, some = repeats[begin:end] - first, heads.slice(begin, end - begin)
            others.append(sparse(some, places, len(part)).cast(pa.string()))
            if len(some):
                mask = np.zeros(len(part), bool)
                mask[places] = True
                part = pc.replace_with_mask(part, pa.array(mask), some)
            own.append(part.cast(pa.string()))
            first += len(part)
        return pa.chunked_array(others, pa.string()), pa.chunked_array(own, pa.string())

    def gathered(self, values: pa.ChunkedArray) -> pa.Array:
        """For each row that stands for a cluster the values of all its rows; null for the
        others.
        """
        assert self.order is not None
        alone = np.flatnonzero(self.sizes == 1)
        members = np.concatenate([self.order[self.sizes[self.order] > 1], alone])
        heads = self.stands_for[members]
        by = np.argsort(heads, kind="stable")
        own = self.stands_for == np.arange(len(self.stands_for))
        offsets = np.concatenate([[0], np.cumsum(np.where(own, self.sizes, 0))]).astype(np.int32)
        flat = values.combine_chunks().take(pa.array(members[by]))
        lists = pa.ListArray.from_arrays(pa.array(offsets), flat)
        return lists.take(pa.array(np.arange(len(own)), mask=~own))


def clusters_of(
    rows: pa.Table,
    labels: np.ndarray,
    prefer: str | None,
    too_far: TooFar | None,
    gathers: bool = False,
) -> Clusters:
    """`labels`: for each row a number that its component shares; `rows` hold uid and what `prefer`
    reads.  `gathers`: whether members are wanted in order.
    """
    count = len(labels)
    label, sizes = counted(labels)
    stands_for = np.arange(count)
    members = np.flatnonzero(sizes > 1)
    if not len(members):
        return Clusters(stands_for, sizes, members)
    part, order = rows.take(pa.array(members)) if prefer is not None else None, None
    if part is None and not gathers:
        first = least_of_each(label, members, rows.column("uid"))
    else:
        part = part if part is not None else rows.select(["uid"]).take(pa.array(members))
        order = members[preferred(part, label[members], prefer)]
        first = order[np.r_[True, np.diff(label[order]) != 0]]
    head_of = np.zeros(label.max() + 1, np.int64)
    head_of[label[first]] = first
    stands_for[members] = head_of[label[members]]
    if too_far is not None:
        at = members[stands_for[members] != members]
        far = at[too_far(at, stands_for[at])]
        left = np.bincount(stands_for[far], minlength=count)
        sizes = sizes - left[stands_for]
        stands_for[far], sizes[far] = far, 1
    return Clusters(stands_for, sizes, order)


def counted(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(labels in a narrow range, how many rows share each row's)."""
    if len(labels) and labels.min() >= 0 and labels.max() < 4 * len(labels):
        return labels, np.bincount(labels)[labels]
    _, label, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    return label, sizes[label]


def least_of_each(label: np.ndarray, members: np.ndarray, uids: pa.ChunkedArray) -> np.ndarray:
    """Which of the members have the least uid of their label; `label` and `uids` are all rows'."""
    if 4 * len(members) < len(label):  # few repeat: nothing of the size of all rows is made
        few = pa.chunked_array([texts_at(uids, members)])
        _, narrow = np.unique(label[members], return_inverse=True)
        return members[least_of_each(narrow, np.arange(len(members)), few)]
    words = words_of(uids)
    if words is None:
        some = frame_of(pa.table({"uid": uids}))["uid"].gather(members)
        frame = pl.DataFrame({"at": members, "label": label[members], "uid": some})
        least = frame.filter(pl.col("uid") == pl.col("uid").min().over("label"))
        return least["at"].to_numpy()
    labels = np.count_nonzero(np.bincount(label[members]))
    for word in words:
        smallest = np.full(label.max() + 1, np.iinfo(np.int64).max)
        parts = [members[at : at + FEW] for at in range(0, len(members), FEW)]
        for rows in parts:
            np.minimum.at(smallest, label[rows], word[rows])
        members = np.concatenate([rows[word[rows] == smallest[label[rows]]] for rows in parts])
        if len(members) == labels:
            break
    return members


def words_of(texts: pa.ChunkedArray) -> Iterator[np.ndarray] | None:
    """Texts as numbers of eight bytes each, in an order like theirs; None where they differ in
    length.
    """
    parts, lengths = [], set()
    for chunk in texts.cast(pa.large_string()).chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        steps = np.diff(ends)
        lengths |= {int(steps.min()), int(steps.max())} if len(steps) else set()
        if len(lengths) > 1 or lengths == {0} or chunk.null_count:
            return None
        if len(chunk):
            letters = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
            parts.append(letters.reshape(len(chunk), -1))
    length = next(iter(lengths), 0)
    found = np.zeros((sum(map(len, parts)), 8), np.uint8)

    def word(at: int) -> np.ndarray:
        found[:, length - at :] = 0
        np.concatenate([part[:, at : at + 8] for part in parts], out=found[:, : length - at])
        number = found.view(">u8").ravel().astype(np.uint64)
        return (number ^ np.uint64(1 << 63)).view(np.int64)  # whose minimum NumPy finds faster

    return (word(at) for at in range(0, length, 8))


def parts_of(texts: pa.ChunkedArray) -> Iterator[pa.Array]:
    """A column's texts, some at a time, each part with offsets from 0 on."""
    for chunk in texts.chunks:
        for at in range(0, len(chunk), AT_ONCE):
            part = chunk.slice(at, AT_ONCE)
            yield pa.concat_arrays([part]) if part.offset else part


def texts_at(texts: pa.ChunkedArray, at: np.ndarray) -> pa.Array:
    """Large texts at some places of a column.  Polars gathers them faster than Arrow, once it has a
    view of each; of few, those of each chunk are taken, and nothing is made of the others.
    """
    if 4 * len(at) > len(texts):
        found = frame_of(pa.table({"text": texts}))["text"].gather(at).to_arrow()
        return found.cast(pa.large_string())
    places, which = np.unique(at, return_inverse=True)
    first, pieces = 0, [pa.array([], pa.large_string())]
    for chunk in texts.chunks:
        begin, end = np.searchsorted(places, [first, first + len(chunk)]).tolist()
        taken = chunk.take(pa.array(places[begin:end] - first))
        pieces.append(taken.cast(pa.large_string()))
        first += len(chunk)
    return pa.concat_arrays(pieces).take(pa.array(which))


def sparse(texts: pa.Array, places: np.ndarray, count: int) -> pa.Array:
    """Large texts at some of `count` places, in order; null at the others."""
    ends = np.zeros(count + 1, np.int64)
    ends[places + 1] = np.asarray(pc.binary_length(texts))
    there = np.zeros(count, bool)
    there[places] = True
    _, offsets, data = texts.buffers()
    first = np.frombuffer(offsets, np.int64)[texts.offset] if len(texts) else 0
    valid = pa.py_buffer(np.packbits(there, bitorder="little"))
    letters = pa.py_buffer(b"") if data is None else data.slice(first)
    buffers = [valid, pa.py_buffer(np.cumsum(ends)), letters]
    return pa.Array.from_buffers(pa.large_string(), count, buffers, count - len(texts))


def preferred(rows: pa.Table, label: np.ndarray, prefer: str | None) -> np.ndarray:
    """The order of rows by label, then by what `prefer` says, the largest first, then by uid."""
    frame = pl.DataFrame({"label": label, "uid": frame_of(rows.select(["uid"]))["uid"]})
    by, descending = ["label", "uid"], [False, False]
    if prefer is not None:
        expression, _ = compile_expression(prefer, rows.schema)
        value = expression.evaluate(frame_of(rows))
        if value.dtype.is_float():
            value = value.fill_nan(None)
        frame = frame.with_columns(value.alias("value"))
        by, descending = ["label", "value", "uid"], [False, True, False]
    at = frame.with_row_index("__at")
    return at.sort(by, descending=descending, nulls_last=True)["__at"].to_numpy().astype(np.int64)
