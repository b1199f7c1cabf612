"""Perceptual hashes and a tiny thumbnail of each image: what near-duplicate search looks at."""

import hashlib
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.stages.download.pdq import pdq

THUMBNAIL_PX = 8
THUMBNAIL = THUMBNAIL_PX * THUMBNAIL_PX * 3
LOOK_PX = 64
"""Side at which a picture is searched for its ground."""
GROUND_SHARE = 0.8
"""Of a picture, in one colour: from there on the rest of it is what is hashed."""
GROUND_SPREAD = 24
"""Values by which a pixel of the ground may differ from its colour."""


class ImageHashConfig(StageConfig):
    """Hashes of each image for `dedup`, and an 8 × 8 RGB thumbnail that tells colours apart.

    The hash of a flat picture (four fifths of it in one colour) would say nothing: then what stands
    on the ground is hashed, cut out, and `image_hash_flat` tells; of a picture in one colour it is a
    digest of the pixels.
    """

    stage: Annotated[Literal["image_hash"], SPEED] = "image_hash"
    image: str = "image"
    """Column with encoded images."""
    hashes: list[Literal["phash", "pdq"]] = Field(["phash"], min_length=1, max_length=2)
    """`phash`: 64 bits (Zauner 2010); `pdq`: 256 bits (Meta 2019), which tell more pictures apart
    and stand less cropping.
    """


class ImageHashStage(Stage):
    """pHash: luminance at 32 × 32, DCT, the 8 × 8 lowest frequencies against their median."""

    Config = ImageHashConfig
    prefix = "image_hash"
    version = 3
    decodes = True
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        fields = []
        if "phash" in self.config.hashes:
            fields.append(column(self.column(), pa.uint64(), "64-bit pHash", "hash"))
        if "pdq" in self.config.hashes:
            doc = "256-bit PDQ hash, 64 hexadecimal digits"
            fields.append(column(self.column("pdq"), pa.string(), doc))
        thumbnail = pa.list_(pa.uint8(), THUMBNAIL)
        doc = "8 × 8 RGB thumbnail of what was hashed, row by row"
        flat = "whether the picture is mostly one colour, so that the rest of it was hashed"
        return pa.schema(
            [
                *fields,
                column(self.column("thumbnail"), thumbnail, doc),
                column(self.column("flat"), pa.bool_(), flat),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        errors: list[tuple[str, str] | None] = []
        found: list[dict[str, Any]] = []
        for data in rows.column(self.config.image):
            try:
                image = decode_rgb(data.as_py())
            except DecodeError as error:
                errors.append(("decode", str(error)))
                found.append({})
                continue
            errors.append(None)
            found.append(self.look(image))
        columns = [
            pa.array([row.get(field.name) for row in found], field.type) for field in self.writes()
        ]
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", error_array(errors))

    def look(self, image: Image.Image) -> dict[str, Any]:
        """The columns of one picture."""
        content = content_of(image)
        shown = image if content is None else content
        small = shown.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
        found: dict[str, Any] = {
            self.column("thumbnail"): np.asarray(small).ravel().tolist(),
            self.column("flat"): content is None or content is not image,
        }
        if "phash" in self.config.hashes:
            plain = int.from_bytes(digest_of(image)[:8], "big") if content is None else None
            found[self.column()] = phash(shown) if plain is None else plain
        if "pdq" in self.config.hashes:
            found[self.column("pdq")] = (
                digest_of(image).hex() if content is None else pdq(shown)[0].hex()
            )
        return found


def content_of(image: Image.Image) -> Image.Image | None:
    """What of an RGB picture says what it shows: the picture itself, or what stands on its ground
    where that is most of it; None where there is nothing but ground.
    """
    small = np.asarray(image.resize((LOOK_PX, LOOK_PX), Image.Resampling.BOX), np.int16)
    coarse = (small >> 4).reshape(-1, 3)
    names, counts = np.unique(coarse @ np.array([256, 16, 1]), return_counts=True)
    most = coarse @ np.array([256, 16, 1]) == names[counts.argmax()]
    colour = np.median(small.reshape(-1, 3)[most], axis=0)
    other = np.abs(small - colour).max(2) > GROUND_SPREAD
    if 1 - other.mean() < GROUND_SHARE:
        return image
    if not other.any():
        return None
    rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
    x, y = image.width / LOOK_PX, image.height / LOOK_PX
    return image.crop(
        (
            int(columns[0] * x),
            int(rows[0] * y),
            max(int(columns[0] * x) + 1, round((columns[-1] + 1) * x)),
            max(int(rows[0] * y) + 1, round((rows[-1] + 1) * y)),
        )
    )


def digest_of(image: Image.Image) -> bytes:
    """32 bytes that stand for the very pixels of a flat picture, whatever its size."""
    small = image.resize((LOOK_PX, LOOK_PX), Image.Resampling.BOX)
    return hashlib.sha256(small.tobytes()).digest()


def phash(image: Image.Image) -> int:
    """The hash of an RGB image as an integer, most significant bit first."""
    from scipy.fft import dctn

    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float32)
    low = dctn(grey, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).view(">u8")[0])
