"""Arrow types of rows, errors and the ledger."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.redaction import redact

ERROR = pa.struct([("class", pa.string()), ("message", pa.string())])
"""Why a stage failed on a row: a short class (`timeout`, `http_4xx`, `DecodeError`) and one line
for people.
"""

HASH_OF = b"hash_of"
"""Key of the metadata of a column of hashes: which payload column's very bytes were hashed."""

ORDER = "#order"
"""What a stage that looks at all rows sees as a row's place in the pool; a `#` stands in no name of
an input's or a stage's column.
"""

PARENTS = b"parents"
"""Key of the metadata of a column that elements have of the row whose list they are in."""

QUOTAS = b"quotas"
"""Key of the metadata of a column that says which rows are chosen: as JSON, `per`, the columns
whose values make groups; `requested`, the shares of these (empty: equal ones); `cost`, the column
or expression that shares are counted in (rows if absent).
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


Role = Literal[
    "caption",
    "finish_reason",
    "language",
    "score",
    "embedding",
    "concepts",
    "repeats",
    "chosen",
    "choice_reason",
    "control",
    "duplicate",
    "other_set",
    "fetched_at",
    "seconds",
]
"""What a column is, for reports, outputs and documents: a text about the image; why its writing
ended; a language code; a judgement of the row; a vector; what the row is about; how often the row
is written; whether it is chosen out of all rows, why or why not, and whether chance drew it beside
the chosen, to compare with; the uid of the row that this one repeats; another
set that holds the row; when the image was fetched; how long that took.
"""


def column(
    name: str,
    dtype: pa.DataType,
    doc: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    volatile: bool = False,
    role: Role | None = None,
    of: str = "",
) -> pa.Field:
    """A documented column: unit, bounds and role travel in the field's metadata.

    A volatile one (a duration, a date of fetching) differs from run to run, so packages leave it
    out unless asked.  `of`: the column that this one says something about.
    """
    facts = {"doc": doc, "unit": unit, "volatile": "true" if volatile else ""}
    facts |= {"role": role or "", "of": of}
    if low is not None:
        facts["min"] = f"{low:g}"
    if high is not None:
        facts["max"] = f"{high:g}"
    return pa.field(name, dtype, metadata={k: v for k, v in facts.items() if v})


def role_of(field: pa.Field) -> str:
    """What a column is; empty where it does not say."""
    return (field.metadata or {}).get(b"role", b"").decode()


def of_role(schema: Iterable[pa.Field], role: Role) -> list[str]:
    """Names of the columns that say they are this."""
    return [field.name for field in schema if role_of(field) == role]


def about(schema: Iterable[pa.Field], column: str, role: Role) -> str | None:
    """The column of a role that says something about `column`; None where there is none."""
    marks = ((f, (f.metadata or {}).get(b"of", b"").decode()) for f in schema)
    return next((f.name for f, of in marks if of == column and role_of(f) == role), None)


def doc_of(field: pa.Field) -> str:
    """What a column means, by its metadata; empty where this says nothing."""
    return (field.metadata or {}).get(b"doc", b"").decode()


def unit_of(field: pa.Field) -> str:
    """The unit of a column's values, by its metadata; empty where they have none."""
    return (field.metadata or {}).get(b"unit", b"").decode()


def hash_of(field: pa.Field) -> str | None:
    """The column of whose bytes this one is the SHA-256, hex; None for all others."""
    name = (field.metadata or {}).get(HASH_OF)
    return name.decode() if name else None


def is_volatile(field: pa.Field) -> bool:
    """Whether a column's values differ from run to run, by its metadata."""
    return b"volatile" in (field.metadata or {})


def is_payload(dtype: pa.DataType) -> bool:
    """Whether a column holds bytes (images, audio) rather than something to compare, at any
    depth.
    """
    if pa.types.is_struct(dtype):
        return any(is_payload(dtype.field(i).type) for i in range(dtype.num_fields))
    if is_list(dtype):
        return is_payload(dtype.value_type)
    return is_bytes(dtype)


def is_parents_payload(field: pa.Field) -> bool:
    """Whether a column holds bytes of the row that an element is from: the same in all of them, so
    packages of elements leave it out unless asked.
    """
    return PARENTS in (field.metadata or {}) and is_payload(field.type)


def is_bytes(dtype: pa.DataType) -> bool:
    """Whether a value is bytes itself."""
    return (
        pa.types.is_binary(dtype)
        or pa.types.is_large_binary(dtype)
        or pa.types.is_fixed_size_binary(dtype)
    )


def is_list(dtype: pa.DataType) -> bool:
    """Whether a value is a list, of any kind."""
    return (
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    )


def payload_sizes(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """int64: the bytes of payload in each value, at any depth; null where there is no value."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if is_bytes(values.type):
        return pc.cast(pc.binary_length(values), pa.int64())
    total = pa.array(np.zeros(len(values), np.int64))
    if pa.types.is_struct(values.type):
        for i in range(values.type.num_fields):
            if is_payload(values.type.field(i).type):
                part = payload_sizes(pc.struct_field(values, [i]))
                total = pc.add(total, pc.fill_null(part, 0))
    elif is_payload(values.type):
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        parts = pc.fill_null(payload_sizes(pc.list_flatten(values)), 0)
        ends = np.cumsum(np.asarray(lengths, np.int64))
        sums = np.concatenate([[0], np.cumsum(np.asarray(parts, np.int64))])
        total = pa.array(sums[ends] - sums[ends - np.asarray(lengths, np.int64)])
    return pc.if_else(pc.is_valid(values), total, pa.scalar(None, pa.int64()))


NAMELESS = "error"
"""Class of a failure to which its stage gives none: people ask for failures by it."""


def error_array(errors: Iterable[tuple[str, str] | None]) -> pa.Array:
    """(class, message) pairs, None where a row is fine, as an ERROR column; secrets are left
    out.
    """
    return pa.array(
        [
            None
            if e is None
            else {"class": redact(e[0] or NAMELESS), "message": redact(e[1])[:MESSAGE_MAX]}
            for e in errors
        ],
        type=ERROR,
    )


def leaf_columns(field: pa.Field, path: str = "") -> list[tuple[str, pa.DataType]]:
    """Parquet's paths of a field's leaves, and their types."""
    path, kind = f"{path}{field.name}", field.type
    if pa.types.is_struct(kind):
        return [
            leaf for i in range(kind.num_fields) for leaf in leaf_columns(kind.field(i), f"{path}.")
        ]
    if is_list(kind):
        return leaf_columns(kind.value_field.with_name("element"), f"{path}.list.")
    return [(path, kind)]
