"""One type for a column over all files: the narrowest that holds every file's values."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pairmill.sources.guesses import Guess, merged

UNITS = ("s", "ms", "us", "ns")
WHOLE_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
"""Decimal digits of the largest integer of so many bits (unsigned ones of 64 have one more)."""


@dataclass(frozen=True)
class Seen:
    """A column in one file: its declared type, or what values of a text format looked like."""

    file: str
    dtype: pa.DataType
    guess: Guess | None = None


class TypesDiffer(ValueError):
    """Two files whose types have none in common that loses nothing."""


def common_type(column: str, seen: Sequence[Seen]) -> pa.DataType:
    """The type that holds the column's values of all files; null where none has any.

    Raises TypesDiffer, naming the column and two files.
    """
    declared = [s for s in seen if s.guess is None]
    guessed = [s for s in seen if s.guess is not None]
    found, of = pa.null(), ""
    for one in declared:
        wider = widest(found, one.dtype)
        if wider is None:
            raise TypesDiffer(
                f"column {column!r} is {found} in {of} and {one.dtype} in {one.file}; "
                f"no type holds both: write one of them anew, or say `types: {{{column}: text}}`"
            )
        if not wider.equals(found):
            found, of = wider, one.file
    if not guessed:
        return found
    text = merged(s.guess for s in guessed if s.guess is not None).dtype(pa.null())
    if not declared:
        return text
    wider = widest(found, text)
    if wider is None and (pa.types.is_nested(found) or pa.types.is_binary(found)):
        raise TypesDiffer(
            f"column {column!r} is {found} in {of} and {text} in {guessed[0].file}; "
            "no type holds both"
        )
    return pa.string() if wider is None else wider


def settled(dtype: pa.DataType) -> pa.DataType:
    """A column's type where no file has a value, or an element, of it: text, or lists of text."""
    if pa.types.is_null(dtype):
        return pa.string()
    empty = _is_list(dtype) and pa.types.is_null(dtype.value_type)
    return pa.list_(pa.string()) if empty else dtype


def unsettled(dtype: pa.DataType) -> pa.DataType:
    """The type of which `settled` made this one, where that is known to be so."""
    return pa.list_(pa.null()) if _is_list(dtype) else pa.null()


def is_unseen(dtype: pa.DataType) -> bool:
    """Whether a type says that there is no value, or no element."""
    return not settled(dtype).equals(dtype)


def widest(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds all values of both, or None.

    Integers and doubles become doubles; an integer that no double holds is told when it is read.
    """
    if pa.types.is_null(a) or a.equals(b):
        return b
    if pa.types.is_null(b):
        return a
    if pa.types.is_integer(a) and pa.types.is_integer(b):
        return _widest_integer(a, b)
    numeric = [pa.types.is_integer(t) or pa.types.is_floating(t) for t in (a, b)]
    if all(numeric):
        return pa.float64()
    if _is_list(a) and _is_list(b):
        item = widest(a.value_type, b.value_type)
        large = pa.types.is_large_list(a) or pa.types.is_large_list(b)
        return None if item is None else (pa.large_list(item) if large else pa.list_(item))
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return _widest_struct(a, b)
    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b) and bool(a.tz) == bool(b.tz):
        unit = max(a.unit, b.unit, key=UNITS.index)
        return pa.timestamp(unit, a.tz if a.tz == b.tz else "UTC")
    if pa.types.is_decimal(a) or pa.types.is_decimal(b):
        return _widest_decimal(a, b)
    binary = [pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t) for t in (a, b)]
    return pa.large_binary() if all(binary) else None


def _widest_integer(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    signed = [t for t in (a, b) if pa.types.is_signed_integer(t)]
    unsigned = [t for t in (a, b) if pa.types.is_unsigned_integer(t)]
    if not unsigned or not signed:
        return max(a, b, key=lambda t: t.bit_width)
    bits = max(signed[0].bit_width, unsigned[0].bit_width * 2)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits)


def _widest_decimal(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """For two decimals, or one and integers."""
    digits: list[tuple[int, int]] = []
    for one in (a, b):
        if pa.types.is_decimal(one):
            digits.append((one.precision - one.scale, one.scale))
        elif pa.types.is_integer(one):
            digits.append((WHOLE_DIGITS[one.bit_width] + (one == pa.uint64()), 0))
        else:
            return None
    whole, scale = (max(places) for places in zip(*digits, strict=True))
    return pa.decimal128(whole + scale, scale) if whole + scale <= 38 else None


def _is_list(dtype: pa.DataType) -> bool:
    return (
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    )


def _widest_struct(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    fields = {f.name: f.type for f in a}
    for field in b:
        wider = widest(fields.get(field.name, pa.null()), field.type)
        if wider is None:
            return None
        fields[field.name] = wider
    return pa.struct(list(fields.items()))
