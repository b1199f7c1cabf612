"""Pictures that look alike: 64-bit pHashes or 256-bit PDQ hashes, with thumbnails beside them."""

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pairmill.schemas.arrow import is_list
from pairmill.schemas.expressions import frame_of
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.crops import windows
from pairmill.stages.dedup.hamming import distances
from pairmill.stages.dedup.kinds import is_text
from pairmill.stages.dedup.looks import components
from pairmill.stages.dedup.pictures import LARGE_PX
from pairmill.stages.dedup.views import Views, nearest_view, with_views

RADIUS = {64: 8, 256: 31}
"""Recommended radius by bits (docs/lab-notes.md has the measurements; 31 is PDQ's own)."""


@dataclass
class Hashes:
    """`words`: uint64, (n, bits / 64).  `pixels`: uint8, (n, values), or None.  `bad`: bool,
    (n,).  `mirrored`: as `words`, of the mirror images, or None.  `larges`: uint8,
    (n, 32, 32, 3), or None.
    """

    words: np.ndarray
    pixels: np.ndarray | None
    bad: np.ndarray
    mirrored: np.ndarray | None = None
    larges: np.ndarray | None = None

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

    def companion(self, suffix: str, have: list[str]) -> str | None:
        """The column beside the hash whose name ends so, of those there are."""
        name = self.config.on[0]
        own = (f"{name}_{suffix}", f"{name.removesuffix('_pdq')}_{suffix}")
        return next((column for column in own if column in have), None)

    def asked(self) -> list[str]:
        """Ends of the names of columns that the config needs beside the hash."""
        return ["mirrored"] * self.config.mirrored + ["large"] * (self.config.crops > 0)

    def reads(self, have: list[str]) -> list[str]:
        thumbnail = self.thumbnail(have)
        more = [self.companion(c, have) or f"{self.config.on[0]}_{c}" for c in self.asked()]
        return [*self.config.on, *([thumbnail] if thumbnail else []), *more]

    def check(self, schema: pa.Schema) -> None:
        kind = schema.field(self.config.on[0]).type
        if not (pa.types.is_integer(kind) and kind.bit_width == 64) and not is_text(kind):
            raise ValueError(
                f"{self.config.on[0]!r} is {kind}; a hash is an integer of 64 bits, or 16 or 64 "
                "hexadecimal digits, as `image_hash` writes"
            )
        for suffix, key in (("mirrored", "mirrored"), ("large", "large")):
            if suffix in self.asked() and not self.companion(suffix, schema.names):
                raise ValueError(
                    f"`{'crops' if key == 'large' else key}` reads {self.config.on[0]}_{suffix}, "
                    f"which is not there; `image_hash` writes it with `{key}: true`"
                )
        if self.config.crops and is_text(kind):
            raise ValueError(
                "`crops` computes pHashes, of 64 bits, of the parts of a picture; "
                f"{self.config.on[0]!r} holds texts: write `on: [image_hash]`"
            )
        thumbnail = self.thumbnail(schema.names)
        if thumbnail in schema.names and not is_list(schema.field(thumbnail).type):
            raise ValueError(f"thumbnails are lists of numbers; {thumbnail!r} is not")

    def notes(self) -> list[str]:
        found = ["all pairs within the radius are found"]
        if self.config.crops and self.config.within:
            found.append(
                f"`crops` compares {len(windows(self.config.crops))} parts of each picture with "
                "all pictures, in one worker"
            )
        return found

    def load(self, rows: pa.Table) -> Hashes:
        words, bad = self.words(rows, self.config.on[0])
        found = Hashes(words, pixels_of(rows, self.thumbnail(rows.schema.names)), bad)
        if self.config.mirrored and (name := self.companion("mirrored", rows.schema.names)):
            found.mirrored, more = self.words(rows, name)
            found.bad = bad | more
        if self.config.crops:
            larges = pixels_of(rows, self.companion("large", rows.schema.names))
            if larges is not None:
                found.larges = larges.reshape(-1, LARGE_PX, LARGE_PX, 3)
        return found

    def words(self, rows: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(hashes as words, which are none) of a column."""
        column = rows.column(name)
        if is_text(column.type):
            return from_hex(column)
        words = column.to_numpy().astype(np.uint64)[:, None]
        return words, np.zeros(len(words), bool)

    def limit(self, seen: Hashes) -> int:
        """The radius in bits."""
        return self.config.radius if self.config.radius is not None else RADIUS[seen.bits]

    def unfit(self, seen: Hashes) -> tuple[np.ndarray, str]:
        return seen.bad, "is no hash of as many hexadecimal digits as the others"

    def labels(self, seen: Hashes, known: pa.Table | None) -> np.ndarray:
        config = self.config
        found = components(
            seen.words, seen.pixels, self.limit(seen), config.max_difference, config.max_cell
        )
        if seen.mirrored is None and seen.larges is None:
            return found
        return with_views(found, self.views(seen), self.limit(seen))

    def views(self, seen: Hashes) -> Views:
        """The pictures, and what else of them is compared with whole ones."""
        config = self.config
        return Views(
            seen.words, seen.pixels, seen.mirrored, seen.larges, config.crops,
            config.max_difference, config.max_cell,
        )  # fmt: skip

    def scores(self, seen: Hashes, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found = distances(seen.words[left], seen.words[right])
        if seen.mirrored is not None or seen.larges is not None:
            found = self.views(seen).least(found, left, right, self.limit(seen))
        return found.astype(np.float64)

    def diameter(self, seen: Hashes) -> float | None:
        return None if self.config.crops else float(self.limit(seen))

    def nearest(self, seen: Hashes, others: Hashes) -> tuple[np.ndarray, np.ndarray]:
        if seen.bits != others.bits:
            raise ValueError(f"its hashes have {others.bits} bits, and the rows' {seen.bits}")
        own, theirs = self.views(seen), self.views(others)
        at, apart = nearest_view(own, theirs, self.limit(seen))
        at[seen.bad] = -1
        return at, apart.astype(np.float64)

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        return None

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        return None

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        """Hashes within r bits agree in one of r + 1 bands.  Parts of pictures have too many keys
        to travel: all rows meet, or none where they are only looked for in other sets.
        """
        seen = self.load(rows)
        if self.config.crops:
            alone = seen.words[:, 0]
            return [np.zeros_like(alone) if self.config.within else alone]
        radius, found = self.limit(seen), []
        edges = np.linspace(0, seen.bits, radius + 2).astype(int)
        for words in (w for w in (seen.words, seen.mirrored) if w is not None):
            bits = np.unpackbits(words.view(np.uint8), axis=1)
            for number, (low, high) in enumerate(itertools.pairwise(edges)):
                part = np.packbits(bits[:, low:high], axis=1).astype(np.uint64)
                key = np.full(len(part), number, np.uint64)
                for byte in part.T:
                    key = (key << np.uint64(8)) | byte
                found.append(key)
        return found


def pixels_of(rows: pa.Table, name: str | None) -> np.ndarray | None:
    """Thumbnails of a column, uint8, (n, values); None where there is none."""
    if name not in rows.schema.names or not rows.num_rows:
        return None
    flat = rows.column(name).combine_chunks().flatten()
    if len(flat) % rows.num_rows:
        raise ValueError(f"thumbnails in {name!r} differ in length")
    return flat.to_numpy().astype(np.uint8, copy=False).reshape(rows.num_rows, -1)


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
