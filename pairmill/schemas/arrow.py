"""Arrow types of rows, errors and the ledger."""

from collections.abc import Iterable

import pyarrow as pa

ERROR = pa.struct([("class", pa.string()), ("message", pa.string())])
"""Why a stage failed on a row: a short class (`timeout`, `http_4xx`, `DecodeError`) and one line
for people.
"""

SIZE_SUFFIX = "#size"
"""A binary column `c` is stored with `c#size` (int64 bytes), so that nobody reads payload to learn
whether it is there.
"""

ORDER = "#order"
"""What a stage that looks at all rows sees as a row's place in the pool; a `#` stands in no name of
an input's or a stage's column.
"""

MESSAGE_MAX = 500

POOL_COLUMNS = pa.schema(
    [
        pa.field(
            "uid",
            pa.string(),
            metadata={"doc": "content-derived row id, 32 hex digits, unless the input has one"},
        ),
        pa.field(
            "doc_id",
            pa.string(),
            metadata={"doc": "document the row belongs to; a pair is its own document"},
        ),
        pa.field(
            "position", pa.int32(), metadata={"doc": "place of the row in its document, from 0"}
        ),
        pa.field("source", pa.string(), metadata={"doc": "input file the row came from"}),
        pa.field("url", pa.string(), metadata={"doc": "address of the image, without credentials"}),
        pa.field(
            "text",
            pa.string(),
            metadata={"doc": "the web's own text (alt text or caption); never changed"},
        ),
    ]
)

LEDGER = pa.schema(
    [
        pa.field("shard", pa.int32(), metadata={"doc": "pool shard"}),
        pa.field("row", pa.int32(), metadata={"doc": "row in the shard"}),
        pa.field("uid", pa.string()),
        pa.field("fate", pa.string(), metadata={"doc": "kept | dropped | missing | failed"}),
        pa.field("stage", pa.string(), metadata={"doc": "stage that stopped the row"}),
        pa.field(
            "reason",
            pa.string(),
            metadata={"doc": "gate expression, missing column or error class"},
        ),
        pa.field("message", pa.string(), metadata={"doc": "of a failure, for people"}),
    ]
)


def column(
    name: str, dtype: pa.DataType, doc: str, unit: str = "", low: float | None = None, high: float | None = None, volatile: bool = False
) -> pa.Field:  # fmt: skip
    """A documented column: unit and bounds travel in the field's metadata.

    A volatile one (a duration, a date of fetching) differs from run to run, so packages leave it
    out unless asked.
    """
    facts = {"doc": doc, "unit": unit, "volatile": "true" if volatile else ""}
    if low is not None:
        facts["min"] = f"{low:g}"
    if high is not None:
        facts["max"] = f"{high:g}"
    return pa.field(name, dtype, metadata={k: v for k, v in facts.items() if v})


def doc_of(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"doc", b"").decode()


def unit_of(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"unit", b"").decode()


def is_volatile(field: pa.Field) -> bool:
    return b"volatile" in (field.metadata or {})


def is_payload(dtype: pa.DataType) -> bool:
    """Whether a column holds bytes (images, audio) rather than something to compare."""
    return (
        pa.types.is_binary(dtype)
        or pa.types.is_large_binary(dtype)
        or pa.types.is_fixed_size_binary(dtype)
    )


def error_array(errors: Iterable[tuple[str, str] | None]) -> pa.Array:
    """(class, message) pairs, None where a row is fine, as an ERROR column."""
    return pa.array(
        [None if e is None else {"class": e[0], "message": e[1][:MESSAGE_MAX]} for e in errors],
        type=ERROR,
    )


def leaf_columns(field: pa.Field, path: str = "") -> list[tuple[str, pa.DataType]]:
    """Parquet's paths of a field's leaves, and their types."""
    path, kind = f"{path}{field.name}", field.type
    if pa.types.is_struct(kind):
        return [
            leaf for i in range(kind.num_fields) for leaf in leaf_columns(kind.field(i), f"{path}.")
        ]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return leaf_columns(kind.value_field.with_name("element"), f"{path}.list.")
    return [(path, kind)]
