"""Perceptual hashes and a tiny thumbnail of each image: what near-duplicate search looks at."""

from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.stages.dedup.pictures import THUMBNAIL, looked_at


class ImageHashConfig(StageConfig):
    """Hashes of each image for `dedup`, and an 8 × 8 RGB thumbnail that tells colours apart.

    The hash of a flat picture (four fifths of it in one colour) would say nothing: then what stands
    on the ground is hashed, cut out, and `image_hash_flat` tells; of a picture in one colour it
    is a
    digest of the pixels.
    """

    stage: Annotated[Literal["image_hash"], SPEED] = "image_hash"
    image: Annotated[str, COLUMN] = "image"
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
            fields.append(
                column(self.column(), pa.uint64(), "64-bit pHash", "hash", of=self.config.image)
            )
        if "pdq" in self.config.hashes:
            doc = "256-bit PDQ hash, 64 hexadecimal digits"
            fields.append(column(self.column("pdq"), pa.string(), doc, of=self.config.image))
        thumbnail = pa.list_(pa.uint8(), THUMBNAIL)
        doc = "8 × 8 RGB thumbnail of what was hashed, row by row"
        flat = "whether the picture is mostly one colour, so that the rest of it was hashed"
        return pa.schema(
            [
                *fields,
                column(self.column("thumbnail"), thumbnail, doc, of=self.config.image),
                column(self.column("flat"), pa.bool_(), flat, of=self.config.image),
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
            seen = looked_at(image, self.config.hashes)
            names = {name: self.column("" if name == "phash" else name) for name in seen}
            found.append({names[name]: value for name, value in seen.items()})
        columns = [
            pa.array([row.get(field.name) for row in found], field.type) for field in self.writes()
        ]
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", error_array(errors))
