"""A column of encoded images as pictures."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from PIL import Image

from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import error_array


class Decoded:
    """The pictures of a column of encoded images, and why some rows have none.

    `sound`: the rows that have one; `images`: their RGB pictures, in order; `errors`: (class,
    message) of each row that has none, None of the others.
    """

    def __init__(self, column: Iterable[Any]) -> None:
        self.images: list[Image.Image] = []
        self.sound: list[int] = []
        self.errors: list[tuple[str, str] | None] = []
        for row, data in enumerate(column):
            data = data.as_py() if isinstance(data, pa.Scalar) else data
            try:
                self.images.append(decode_rgb(data))
            except DecodeError as error:
                self.errors.append(("decode", str(error)))
            else:
                self.sound.append(row)
                self.errors.append(None)

    def answer(self, schema: pa.Schema, *columns: Sequence[Any]) -> pa.Table:
        """A stage's answer: values of the sound rows in the schema's columns, null and an error for
        the others.
        """
        rows = len(self.errors)
        at = [-1] * rows
        for place, row in enumerate(self.sound):
            at[row] = place
        index = pa.array([None if place < 0 else place for place in at], pa.int64())
        arrays = [
            pa.array(list(values), field.type).take(index)
            for field, values in zip(schema, columns, strict=True)
        ]
        return pa.table(arrays, schema=schema).append_column("error", error_array(self.errors))


def decoded(column: Iterable[Any]) -> Decoded:
    """The RGB pictures of a column of encoded images; what cannot be decoded is a row's error."""
    return Decoded(column)
