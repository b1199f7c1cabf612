"""Values that left the pipeline as JSON, in their columns' types again."""

from decimal import Decimal
from typing import Any

import pyarrow as pa

SECONDS = "PT"
"""How a duration begins that is told in ISO 8601."""


def typed(value: Any, dtype: pa.DataType) -> Any:
    """What `pa.array(…, dtype)` takes for a JSON value of a column of that type."""
    if value is None:
        return None
    if (
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    ):
        return [typed(item, dtype.value_type) for item in value]
    if pa.types.is_struct(dtype):
        return {f.name: typed(value.get(f.name), f.type) for f in dtype}
    if pa.types.is_decimal(dtype):
        return Decimal(value)
    if pa.types.is_duration(dtype):
        return duration(value, dtype)
    if pa.types.is_temporal(dtype):
        return pa.scalar(value, pa.string()).cast(dtype)
    if pa.types.is_floating(dtype):
        return float(value)
    return value


def duration(text: str, dtype: pa.DataType) -> pa.Scalar:
    """`PT93784.5S` as a duration of the column's unit."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[dtype.unit]
    count = Decimal(text.removeprefix(SECONDS).rstrip("S")) * per_second
    return pa.scalar(int(count), pa.int64()).cast(dtype)
