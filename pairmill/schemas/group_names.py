"""Names of groups of rows, one for each combination of values: in quotas, reports and columns."""

from collections.abc import Sequence

import polars as pl

NULL = "null"
"""The group of rows without a value; a text that reads so stands in quotes."""
BETWEEN = " / "
"""Between the values of several columns; a slash in a value that would read so has a backslash."""


def group_names(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The name of each row's group: the values of `columns`, joined.  Rows have one name if, and
    only if, they have the same values; NaN counts as null, and -0.0 as 0.
    """
    texts = [named(frame[name], len(columns) > 1) for name in columns]
    return pl.select(pl.concat_str(texts, separator=BETWEEN)).to_series()


def named(values: pl.Series, several: bool) -> pl.Series:
    """Values as texts, null as NULL; `several`: whether further columns' values stand beside."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
        values = values.set(values == 0, 0.0)
    if isinstance(values.dtype, pl.List | pl.Array | pl.Struct):
        values = as_json(values)
    spelled = values.dtype in (pl.String, pl.Categorical, pl.Enum)
    texts = values.cast(pl.String)
    if spelled:
        texts = texts.str.replace(f"^('*){NULL}('*)$", f"'${{1}}{NULL}${{2}}'")
        if several:
            texts = texts.str.replace_all(r"(^| )(\\*)/", r"${1}\${2}/")
    return texts.fill_null(NULL)


def as_json(values: pl.Series) -> pl.Series:
    """Lists and structs as text that is the same for the same values."""
    inner = pl.DataFrame({"value": values}).select(pl.struct("value"))
    texts = inner.to_series().struct.json_encode().str.slice(len('{"value":'))
    texts = texts.str.head(-1)
    return pl.select(pl.when(values.is_null()).then(None).otherwise(texts)).to_series()
