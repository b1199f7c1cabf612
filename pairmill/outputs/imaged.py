"""What the outputs with one picture a sample have in common: picture, caption, format, and the
check of bytes against their hash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pairmill.errors import RunError
from pairmill.outputs.base import Problem, ShardRows, Writer
from pairmill.outputs.caption import CaptionChoice
from pairmill.outputs.pictures import Format, Picture, packed, usual_format
from pairmill.schemas.arrow import hash_of, is_bytes
from pairmill.schemas.expressions import advised, unknown_column
from pairmill.schemas.pipeline import OutputConfig


class ImageOutputConfig(OutputConfig):
    """Keys of every output whose samples have a picture and a caption."""

    image: str = "image"
    """Column with the encoded images."""
    caption: str | list[str] = Field(["text"], min_length=1)
    """The sample's text: a preference list such as `[fused, synthetic, text]`, or an SQL expression
    that gives a text.
    """
    format: Format = "auto"
    """Format of the package's pictures; those of another format are encoded anew.  `auto`: the one
    that most of the first 256 have, of jpg, png and webp.  `original`: each as it is, except
    that what EXIF turns is turned upright.
    """


@dataclass(frozen=True)
class Batch:
    """Some samples: the number of the first, columns without bytes, other columns with bytes, and
    the pictures.
    """

    first: int
    table: pa.Table
    payload: pa.Table
    pictures: list[Picture]


NOTHING = Picture(b"", "")
"""Where a row has no picture."""


class ImageWriter(Writer):
    """Each row is a sample with one picture and one caption."""

    picture_needed: ClassVar[bool] = True
    """Whether a row without a picture ends the run."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.choice = CaptionChoice(config.caption)
        self.format: Format = "jpg" if config.format == "auto" else config.format

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        image = self.config.image
        if image not in schema.names:
            message = unknown_column(f"the {self.config.type} output", image, schema.names)
            remedy = "; rows without pictures go out with `type: table`"
            yield ("image",), advised(message, remedy if image == "image" else "")
        elif not is_bytes(schema.field(image).type):
            yield (
                ("image",),
                f"{image!r} is {schema.field(image).type}, not encoded images; name a column of "
                "bytes",
            )
        yield from self.choice.problems(schema)
        for name in sorted(set(self.reserved) & set(self.quality_columns(schema))):
            if name != "caption" or "caption" not in self.choice.names():
                yield (
                    ("caption",),
                    f"the column {name!r} would be hidden by the {self.config.type} output's own "
                    f"{name!r}; give the stage a `name:`, list it in `caption:`, or choose "
                    "`columns:` without it",
                )

    def payload(self) -> list[str]:
        return [self.config.image]

    def text_columns(self, schema: pa.Schema) -> list[str]:
        names = ["uid", *self.choice.compiled(schema).columns]
        return names + ([mark] if (mark := self.mark(schema)) else [])

    def mark(self, schema: pa.Schema) -> str | None:
        """The column with the SHA-256 of the picture's own bytes, if there is one."""
        return next((f.name for f in schema if hash_of(f) == self.config.image), None)

    def looked_at(self) -> str | None:
        return self.config.image if self.config.format == "auto" else None

    def settle(self, first: Sequence[bytes]) -> None:
        self.format = usual_format(first)

    def batches(self, rows: ShardRows) -> Iterator[Batch]:
        """The samples with their pictures as they are packed.  Raises RunError where a picture is
        not the one that was read.
        """
        mark = self.mark(rows.table.schema)
        for first, table, payload in rows.batches():
            images, pictures = payload.column(self.config.image), []
            if images.null_count and self.picture_needed:
                self.refuse_missing(images.null_count)
            marks = table.column(mark).to_pylist() if mark else [None] * table.num_rows
            for i, data in enumerate(images):
                if not data.is_valid:
                    pictures.append(NOTHING)
                    continue
                original = Picture(data.as_py(), "")
                if marks[i] is not None and marks[i] != original.sha256:
                    self.refuse(table.slice(i, 1), mark, original)
                pictures.append(packed(original.data, self.format, rows.told))
            if mark and any(p.changed for p in pictures):
                now = [p.sha256 if p.changed else m for p, m in zip(pictures, marks, strict=True)]
                at = table.schema.get_field_index(mark)
                table = table.set_column(at, table.schema.field(at), pa.array(now, pa.string()))
            rest = payload.drop_columns([self.config.image])
            yield Batch(first, table, rest, pictures)

    def refuse_missing(self, rows: int) -> None:
        """Raises RunError for kept rows without a picture, and says what leaves them out."""
        name = self.config.image
        raise RunError(
            f"output {self.config.path}: {rows} kept rows have no {name!r}; put a stage that "
            f"reads it before the output, which drops them as missing, or gate on a column of "
            "the stage that makes it"
        )

    def refuse(self, row: pa.Table, mark: str | None, found: Picture) -> None:
        """Raises RunError for a row whose picture has another SHA-256 than the one measured when it
        was read.
        """
        uid = row.column("uid")[0].as_py()
        raise RunError(
            f"output {self.config.path}: {self.config.image!r} of row {uid} is not what was read: "
            "its "
            f"SHA-256 is {found.sha256}, {mark!r} says {row.column(mark)[0].as_py()}; the stored "
            "bytes "
            "have changed on the disk; delete the workspace's pool and run again"
        )

    def suffixes(self) -> tuple[str, ...]:
        """Suffixes that the package's pictures have as a rule."""
        return ("jpg", "png", "webp") if self.format == "original" else (self.format,)
