"""Pictures that look alike: 64-bit pHashes or 256-bit PDQ hashes, with thumbnails beside them."""

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pairmill.schemas.arrow import is_list
from pairmill.schemas.expressions import frame_of
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.hamming import distances
from pairmill.stages.dedup.kinds import is_text
from pairmill.stages.dedup.looks import Looks, components

RADIUS = {64: 8, 256: 31}
"""Recommended radius by bits (docs/lab-notes.md has the measurements; 31 is PDQ's own)."""


@dataclass
class Hashes:
    """`words`: uint64, (n, bits / 64).  `pixels`: uint8, (n, values), or None.  `bad`: bool,
    (n,).
    """

    words: np.ndarray
    pixels: np.ndarray | None
    bad: np.ndarray

    @property
    def bits(self) -> int:
        """Bits of a hash."""
        return self.words.shape[1] * 64


class Perceptual:
    """Hashes within a Hamming radius whose thumbnails agree."""

    similarity = False

    def __init__(self, config: DedupConfig) -> None:
        self.config = config

    def thumbnail(self, have: list[str]) -> str | None:
        """The column with thumbnails, if there is one."""
        if self.config.thumbnail:
            return self.config.thumbnail
        name = self.config.on[0]
        own = (f"{name}_thumbnail", f"{name.removesuffix('_pdq')}_thumbnail")
        return next((column for column in own if column in have), None)

    def reads(self, have: list[str]) -> list[str]:
        thumbnail = self.thumbnail(have)
        return [*self.config.on, *([thumbnail] if thumbnail else [])]

    def check(self, schema: pa.Schema) -> None:
        kind = schema.field(self.config.on[0]).type
        if not (pa.types.is_integer(kind) and kind.bit_width == 64) and not is_text(kind):
            raise ValueError(
                f"{self.config.on[0]!r} is {kind}; a hash is an integer of 64 bits, or 16 or 64 "
                "hexadecimal digits, as `image_hash` writes"
            )
        thumbnail = self.thumbnail(schema.names)
        if thumbnail in schema.names and not is_list(schema.field(thumbnail).type):
            raise ValueError(f"thumbnails are lists of numbers; {thumbnail!r} is not")

    def notes(self) -> list[str]:
        return ["all pairs within the radius are found"]

    def load(self, rows: pa.Table) -> Hashes:
        column = rows.column(self.config.on[0])
        if is_text(column.type):
            words, bad = from_hex(column)
        else:
            words = column.to_numpy().astype(np.uint64)[:, None]
            bad = np.zeros(len(words), bool)
        name, pixels = self.thumbnail(rows.schema.names), None
        if name in rows.schema.names and rows.num_rows:
            flat = rows.column(name).combine_chunks().flatten()
            if len(flat) % rows.num_rows:
                raise ValueError(f"thumbnails in {name!r} differ in length")
            pixels = flat.to_numpy().astype(np.uint8).reshape(rows.num_rows, -1)
        return Hashes(words, pixels, bad)

    def limit(self, seen: Hashes) -> int:
        """The radius in bits."""
        return self.config.radius if self.config.radius is not None else RADIUS[seen.bits]

    def unfit(self, seen: Hashes) -> tuple[np.ndarray, str]:
        return seen.bad, "is no hash of as many hexadecimal digits as the others"

    def labels(self, seen: Hashes, known: pa.Table | None) -> np.ndarray:
        config = self.config
        return components(
            seen.words, seen.pixels, self.limit(seen), config.max_difference, config.max_cell
        )

    def scores(self, seen: Hashes, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return distances(seen.words[left], seen.words[right]).astype(np.float64)

    def diameter(self, seen: Hashes) -> float | None:
        return float(self.limit(seen))

    def nearest(self, seen: Hashes, others: Hashes) -> tuple[np.ndarray, np.ndarray]:
        if seen.bits != others.bits:
            raise ValueError(f"its hashes have {others.bits} bits, and the rows' {seen.bits}")
        own, theirs = (self.looks(side) for side in (seen, others))
        at, apart = own.nearest(theirs, self.limit(seen))
        at[seen.bad] = -1
        return at, apart.astype(np.float64)

    def looks(self, seen: Hashes) -> Looks:
        """The pictures, for comparisons."""
        return Looks(seen.words, seen.pixels, self.config.max_difference, self.config.max_cell)

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        return None

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        return None

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        """Hashes within r bits agree in one of r + 1 bands."""
        seen = self.load(rows)
        radius, found = self.limit(seen), []
        edges = np.linspace(0, seen.bits, radius + 2).astype(int)
        bits = np.unpackbits(seen.words.view(np.uint8), axis=1)
        for number, (low, high) in enumerate(itertools.pairwise(edges)):
            part = np.packbits(bits[:, low:high], axis=1).astype(np.uint64)
            key = np.full(len(part), number, np.uint64)
            for byte in part.T:
                key = (key << np.uint64(8)) | byte
            found.append(key)
        return found


def from_hex(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(words, which values are no hash of the commonest length) of hexadecimal texts."""
    texts = frame_of(pa.table({"h": column}))["h"]
    sound = texts.str.contains(r"^([0-9a-fA-F]{16}){1,16}$").fill_null(False)
    lengths = texts.filter(sound).str.len_bytes().value_counts(sort=True)
    digits = int(lengths[0, 0]) if lengths.height else 64
    sound &= texts.str.len_bytes() == digits
    usable = texts.zip_with(sound, texts.new_from_index(0, len(texts)).clear().extend_constant(
        "0" * digits, len(texts)))  # fmt: skip
    words = np.frombuffer(bytes.fromhex("".join(usable.to_list())), ">u8").astype(np.uint64)
    return words.reshape(len(texts), -1), ~sound.to_numpy()
