"""Perceptual hashes and a tiny thumbnail of each image: what near-duplicate search looks at."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pyarrow as pa
from PIL import Image
from pydantic import Field

from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import ADDED, COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.stages.dedup.pictures import LARGE_THUMBNAIL, THUMBNAIL, looked_at, trimmed


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
    mirrored: Annotated[bool, ADDED] = False
    """Writes the hashes of the mirror image, too, for `dedup` with `mirrored: true`."""
    trimmed: Annotated[bool, ADDED] = False
    """Writes the hashes once more of the picture without borders of one colour, for `dedup` with
    `on: [image_hash_trimmed]`; `image_hash_border` tells what they were.
    """
    large: Annotated[bool, ADDED] = False
    """Writes a thumbnail of 32 × 32, 3 KB, for `dedup` with `crops`."""


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
        fields = [*self.of_picture("")]
        of = self.config.image
        flat = "whether the picture is mostly one colour, so that the rest of it was hashed"
        fields.append(column(self.column("flat"), pa.bool_(), flat, of=of))
        if self.config.trimmed:
            fields += self.of_picture("trimmed")
            doc = "share of the picture that is a border of one colour"
            fields.append(column(self.column("border"), pa.float32(), doc, "", 0, 1, of=of))
        return pa.schema(fields)

    def of_picture(self, part: str) -> Iterator[pa.Field]:
        """The columns of the whole picture (no `part`), or of what is left without its border."""
        of, more = self.config.image, " of the picture without its border" if part else ""
        turned = [("", ""), ("mirrored", " of the mirror image")][: 1 + self.config.mirrored]
        for suffix, of_mirror in turned:
            if "phash" in self.config.hashes:
                name = self.column("_".join(filter(None, (part, suffix))))
                doc = f"64-bit pHash{of_mirror}{more}"
                yield column(name, pa.uint64(), doc, "hash", of=of)
            if "pdq" in self.config.hashes:
                name = self.column("_".join(filter(None, (part, "pdq", suffix))))
                doc = f"256-bit PDQ hash{of_mirror}{more}, 64 hexadecimal digits"
                yield column(name, pa.string(), doc, of=of)
        sizes = [("thumbnail", "8 × 8", THUMBNAIL), ("large", "32 × 32", LARGE_THUMBNAIL)]
        for suffix, size, values in sizes[: 1 + self.config.large]:
            name = self.column("_".join(filter(None, (part, suffix))))
            doc = f"{size} RGB thumbnail of what was hashed, row by row"
            yield column(name, pa.list_(pa.uint8(), values), doc, of=of)

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
            found.append(self.seen(image))
        columns = [
            pa.array([row.get(field.name) for row in found], field.type) for field in self.writes()
        ]
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", error_array(errors))

    def seen(self, image: Image.Image) -> dict[str, Any]:
        """The values of a picture, by column."""
        config = self.config
        found = looked_at(image, config.hashes, config.mirrored, config.large)
        named = {self.column(suffix_of(name)): value for name, value in found.items()}
        if config.trimmed:
            inner, share = trimmed(image)
            if share:
                found = looked_at(inner, config.hashes, config.mirrored, config.large)
            named[self.column("border")] = share
            for name, value in found.items():
                suffix = "_".join(filter(None, ("trimmed", suffix_of(name))))
                named[self.column(suffix)] = value
        return named


def suffix_of(name: str) -> str:
    """What `looked_at` calls a value → the end of its column's name: that of a pHash is none."""
    return name.removeprefix("phash").removeprefix("_")
