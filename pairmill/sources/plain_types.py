"""The types under which an input's columns are stored."""

import pyarrow as pa


def plain_type(dtype: pa.DataType) -> pa.DataType:
    """The type under which a column is stored: no dictionaries, views or half floats."""
    if isinstance(dtype, pa.BaseExtensionType):
        return plain_type(dtype.storage_type)
    if pa.types.is_dictionary(dtype) or pa.types.is_run_end_encoded(dtype):
        return plain_type(dtype.value_type)
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return pa.string()
    if pa.types.is_binary(dtype) or pa.types.is_binary_view(dtype):
        return pa.large_binary()
    if (inner := within_plain(dtype)) is not None:
        return inner
    return pa.float32() if pa.types.is_float16(dtype) else dtype


def within_plain(dtype: pa.DataType) -> pa.DataType | None:
    """A list or struct whose inner types are plain; None for what holds no other type.

    Bytes within stay as they are; lists keep their kind.
    """

    def field(one: pa.Field) -> pa.Field:
        plain = one.type if pa.types.is_binary(one.type) else plain_type(one.type)
        return pa.field(one.name, plain, one.nullable)

    if pa.types.is_struct(dtype):
        return pa.struct([field(dtype.field(i)) for i in range(dtype.num_fields)])
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(field(dtype.value_field), dtype.list_size)
    if pa.types.is_large_list(dtype):
        return pa.large_list(field(dtype.value_field))
    if (
        pa.types.is_list(dtype)
        or pa.types.is_list_view(dtype)
        or pa.types.is_large_list_view(dtype)
    ):
        return pa.list_(field(dtype.value_field))
    return None
