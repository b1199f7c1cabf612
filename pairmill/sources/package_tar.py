"""A tar of a `webdataset` package with the Parquet file beside it, which has its columns' types."""

from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.sources.base import Input, Remark, Unreadable
from pairmill.sources.json_columns import parsed
from pairmill.sources.members import image_suffix
from pairmill.sources.samples import Sample
from pairmill.sources.tar_samples import TarSamples

BATCH_ROWS = 256
BATCH_BYTES = 2**25
PROFILED_SAMPLES = 1000
"""Samples of each tar that are looked at to learn which further members there are."""
OWN = ("txt", "json")


class PackageTar:
    """Images and further members from the tar, all else from the Parquet file, joined by key."""

    def __init__(self, item: Input, sidecar: Input) -> None:
        self.item, self.sidecar = item, sidecar

    def table(self) -> pa.Table:
        """The columns but for bytes, of every sample."""
        with fsspec.open(self.sidecar.url, "rb") as stream:
            return pq.read_table(stream).replace_schema_metadata(None)

    def caption_is_text(self) -> bool:
        """Whether every caption is its row's `text`, so that it need not be a column of its own."""
        table = self.table()
        return table.column("caption").equals(table.column("text"))

    def schema(self) -> pa.Schema:
        """The Parquet file's columns, and those with bytes of the tar's first samples."""
        with fsspec.open(self.sidecar.url, "rb") as stream:
            plain = pq.read_schema(stream).remove_metadata()
        samples = TarSamples(self.item, PROFILED_SAMPLES)
        values: dict[str, list[Any]] = {}
        for sample in samples:
            if isinstance(sample, Sample):
                for name, value in byte_columns(sample, samples).items():
                    values.setdefault(name, []).append(value)
        found = [(name, byte_type(pa.array(v).type)) for name, v in values.items()]
        return pa.schema([*plain, *(f for f in found if f[0] not in plain.names)])

    def read(self, schema: pa.Schema) -> Iterator[pa.Table | Unreadable | Remark]:
        """Tables whose byte columns have the types of `schema`."""
        table = self.table()
        rows = {key: i for i, key in enumerate(table.column("key").to_pylist())}
        samples = TarSamples(self.item)
        batch: list[tuple[int, bytes, dict[str, Any]]] = []
        size = 0
        for sample in samples:
            if isinstance(sample, Unreadable):
                yield sample
                continue
            place = f"{self.item.name} sample {sample.key}"
            image = image_suffix(sample.members)
            row = rows.pop(sample.key, None)
            if image is None or row is None or sample.damaged:
                unknown = f"{self.sidecar.name} has no such key"
                why = "no image" if image is None else sample.damaged or unknown
                yield Unreadable(place, why)
                continue
            try:
                data = samples.read(sample.members[image])
                further = byte_columns(sample, samples)
            except (OSError, EOFError, ValueError) as error:
                yield Unreadable(place, str(error))
                continue
            batch.append((row, data, further))
            size += sum(
                len(m) if isinstance(m, bytes) else m.size_bytes for m in sample.members.values()
            )
            if len(batch) == BATCH_ROWS or size > BATCH_BYTES:
                yield from self.part(batch, table, schema)
                batch, size = [], 0
        if batch:
            yield from self.part(batch, table, schema)
        for key in rows:
            yield Unreadable(
                f"{self.sidecar.name} key {key}", f"{self.item.name} has no such sample"
            )

    def part(
        self, batch: list[tuple[int, bytes, dict[str, Any]]], table: pa.Table, schema: pa.Schema
    ) -> Iterator[pa.Table | Remark]:
        """The rows of a batch as a table with their images and columns of bytes, and a remark for
        members that are no column of `schema`; `batch`: (row in `table`, image, further bytes).
        """
        part = table.take(pa.array([row for row, _, _ in batch]))
        for name in dict.fromkeys(n for _, _, further in batch for n in further):
            if name in table.schema.names:
                continue
            if name not in schema.names:
                count = sum(name in further for _, _, further in batch)
                what = f"members {name!r} are no column, because few samples have them"
                yield Remark("members not read", self.item.name, what, count)
                continue
            values = [further.get(name) for _, _, further in batch]
            part = part.append_column(name, pa.array(values, schema.field(name).type))
        yield part.append_column("image", pa.array([d for _, d, _ in batch], pa.large_binary()))


def byte_columns(sample: Sample, samples: TarSamples) -> dict[str, Any]:
    """Columns with bytes: `key.mask.png` is `mask`; the `.json` tells what lists and structs of
    such members are.
    """
    own = {*OWN, image_suffix(sample.members)}
    inside = {s: m for s, m in sample.members.items() if s not in own}
    if not inside:
        return {}
    content = {suffix: samples.read(member) for suffix, member in inside.items()}
    facts, _ = parsed(samples.read(sample.members["json"])) if "json" in sample.members else ({}, 0)
    forms = facts.get("members") if isinstance(facts, dict) else None
    nested = {name: filled(form, content) for name, form in (forms or {}).items()}
    used = set(names_in(forms))
    flat = {s.partition(".")[0]: data for s, data in content.items() if s not in used}
    return {**flat, **nested}


def filled(form: Any, content: dict[str, bytes]) -> Any:
    """A value's JSON form with bytes in the place of members' names."""
    if isinstance(form, str):
        return content.get(form, form)
    if isinstance(form, list):
        return [filled(one, content) for one in form]
    return {k: filled(v, content) for k, v in form.items()} if isinstance(form, dict) else form


def names_in(form: Any) -> Iterator[str]:
    """The texts in a value's JSON form, wherever in it: names of members, or plain text."""
    if isinstance(form, str):
        yield form
    elif isinstance(form, list | dict):
        for one in form.values() if isinstance(form, dict) else form:
            yield from names_in(one)


def byte_type(dtype: pa.DataType) -> pa.DataType:
    """The type of a column with bytes, wide enough for more than 2 GiB of them."""
    return pa.large_binary() if pa.types.is_binary(dtype) else dtype
