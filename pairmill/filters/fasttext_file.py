"""A look at a fastText model file before its library reads it, which takes a file that breaks off
for a whole one, or never ends.
"""

import mmap
import struct

import numpy as np

from pairmill.errors import StageBroken

MAGIC, VERSIONS = 793712314, (11, 12)
SUPERVISED = 3
CENTROIDS = 256


class FileEnds(Exception):
    """The file ends before what its header says."""


class FastTextFile:
    """Reads over the parts of a file in the order in which fastText writes them."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        """Little-endian values by struct's letters."""
        size = struct.calcsize(f"<{layout}")
        found = struct.unpack(f"<{layout}", self.bytes(size))
        return found

    def bytes(self, size: int) -> bytes:
        """The next bytes."""
        start = self.skip(size)
        return self.data[start : self.at]

    def skip(self, size: int) -> int:
        """Where the bytes begin that are passed over."""
        start, end = self.at, self.at + size
        if size < 0 or end > len(self.data):
            raise FileEnds
        self.at = end
        return start

    def are_finite(self, count: int) -> bool:
        """Whether the next float32 values are numbers."""
        start = self.skip(4 * count)
        return bool(np.isfinite(np.frombuffer(self.data, "<f4", count, start)).all())

    def words(self) -> None:
        """The dictionary, and which of its hashed parts were kept."""
        size, _, _, _, pruned = self.numbers("iiiqq")
        for _ in range(size):
            end = self.data.find(b"\0", self.at)
            if end < 0:
                raise FileEnds
            self.at = end + 1
            self.skip(9)
        self.skip(8 * max(0, pruned))

    def matrix(self, quantised: bool) -> bool:
        """Whether the values of a matrix are numbers."""
        if not quantised:
            rows, columns = self.numbers("qq")
            return self.are_finite(rows * columns)
        (norms,) = self.numbers("?")
        rows, _, codes = self.numbers("qqi")
        self.skip(codes)
        finite = self.quantiser()
        if norms:
            self.skip(rows)
            finite = self.quantiser() and finite
        return finite

    def quantiser(self) -> bool:
        """Whether the centroids of a product quantiser are numbers."""
        dimensions, _, _, _ = self.numbers("iiii")
        return self.are_finite(dimensions * CENTROIDS)


def check_fasttext(stage: str, path: str) -> None:
    """Raises StageBroken where a file is no whole supervised fastText model of finite weights."""
    why = fault_of(path)
    if why:
        raise StageBroken(f"stage {stage!r}: {path} {why}")


def fault_of(path: str) -> str:
    """What is wrong with a file; empty where nothing is."""
    no_model = "is no fastText model (.bin or .ftz)"
    with open(path, "rb") as stream:
        head = stream.read(8)
        if len(head) < 8 or struct.unpack("<ii", head)[0] != MAGIC:
            return no_model
        if (version := struct.unpack("<ii", head)[1]) not in VERSIONS:
            return f"is a fastText model of version {version}; those of {VERSIONS} are read"
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    file = FastTextFile(data)
    file.at = 8
    try:
        kind = file.numbers("12id")[7]
        if kind != SUPERVISED:
            return "holds word vectors, and no classes to tell: give a supervised fastText model"
        file.words()
        (quantised,) = file.numbers("?")
        finite = file.matrix(bool(quantised))
        (output,) = file.numbers("?")
        finite = file.matrix(bool(quantised and output)) and finite
    except FileEnds:
        return "breaks off; was it fetched whole?"
    return "" if finite else "has weights that are NaN or infinite; fetch it again"
