"""Images that stand in a table as lists: of the numbers of their bytes, of names, or of pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.images import DecodeError, NotAnImage, raster_format
from pairmill.sources.values import is_list


def holds_numbers(dtype: pa.DataType) -> bool:
    """Whether values are lists of integers, as the bytes of a file may be written."""
    return is_list(dtype) and pa.types.is_integer(dtype.value_type)


def of_numbers(numbers: pa.Array | None) -> bytes | ValueError | None:
    """The encoded image whose bytes some integers are, or why they are none; None where there are
    no numbers.
    """
    if numbers is None or not len(numbers):
        return None
    data = as_bytes([] if numbers.null_count else np.asarray(numbers))
    return ValueError(no_image((len(numbers),))) if data is None else data


def one_of(values: list[Any]) -> Any:
    """The only element of a list, the bytes whose numbers it holds, or the reason why neither."""
    if not values:
        return None
    shape = shape_of(values)
    found = values
    if shape:
        found = [as_bytes(one) for one in ([values] if len(shape) == 1 else values)]
        if len(shape) > 2 or None in found:
            return ValueError(no_image(shape))
    many = f"{len(found)} images; pairmill does not read rows of several images yet"
    return found[0] if len(found) == 1 else ValueError(many)


def shape_of(values: Any) -> tuple[int, ...]:
    """The lengths of lists within lists, the outermost first, where they hold numbers; else
    empty.
    """
    lengths = []
    while isinstance(values, list) and values:
        lengths.append(len(values))
        values = values[0]
    return tuple(lengths) if isinstance(values, int | float) else ()


def as_bytes(numbers: Sequence[Any] | np.ndarray) -> bytes | None:
    """The bytes of these numbers, where an image begins as they do."""
    try:
        array = np.asarray(numbers)
        data = bytes(array.tolist()) if array.dtype.kind in "iu" else b""
        raster_format(data)
    except NotAnImage:
        return None
    except DecodeError:  # a picture that is not read, which is said where it is opened
        return data
    except (ValueError, TypeError, OverflowError):
        return None
    return data


def no_image(shape: Sequence[int]) -> str:
    """What is said of numbers that are no encoded image."""
    lengths = " × ".join(f"{n:,}" for n in shape)
    kind = "a list" if len(shape) == 1 else "an array"
    return (
        f"{kind} of {lengths} numbers, and they are not the bytes of an image file; encode pixels "
        "as PNG or JPEG first, and store the bytes"
    )
