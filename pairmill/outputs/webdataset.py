"""WebDataset tars by the conventions of img2dataset and DataComp."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, BinaryIO, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows, bytes_file, without_bytes
from pairmill.outputs.energon import nv_meta
from pairmill.outputs.imaged import Batch, ImageOutputConfig, ImageWriter
from pairmill.outputs.members import Member, is_flat, member_base, members
from pairmill.outputs.parquet_files import parquet_file
from pairmill.outputs.pictures import PICTURE_SUFFIXES
from pairmill.outputs.tar import NAME_MAX, TAR_END, tar_member
from pairmill.outputs.values import (
    holds_bytes,
    json_bytes,
    json_column,
    json_type,
    leaving,
    leaving_field,
    tell_not_finite,
)
from pairmill.schemas.config import SPEED

STATUS = "success"
OWN: dict[str, pa.DataType] = {
    "uid": pa.string(),
    "key": pa.string(),
    "url": pa.string(),
    "caption": pa.string(),
    "status": pa.string(),
    "error_message": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "original_width": pa.int32(),
    "original_height": pa.int32(),
    "exif": pa.string(),
    "sha256": pa.string(),
}
"""img2dataset's fields, with which every sample's `.json` begins."""
WRITTEN = ("key", "caption", "status", "error_message")
"""Fields whose values are the output's own."""
WRITTEN_BYTES = 2**20
"""Members are written when they are so many bytes together."""
ADVICE = (
    "open_clip: `--train-data 'FOLDER/{00000..NNNNN}.tar' --dataset-type webdataset`, with "
    "`webdataset<0.3`.",
    "Megatron-Energon: `.nv-meta` is here; `energon prepare` need not ask.",
)
SIDECAR = ["url", "caption", "key", "status", "error_message", "width", "height", "original_width",
           "original_height", "exif", "sha256"]  # fmt: skip


class WebDatasetOutputConfig(ImageOutputConfig):
    """`00000.tar` with `<key>.jpg`, `<key>.txt`, `<key>.json`, beside it `00000.parquet` and
    `00000_stats.json`.

    Other columns with bytes are members of their own, such as `<key>.mask.png`.  open_clip reads
    these tars with webdataset 0.2, Megatron-Energon with the `.nv-meta` beside them.
    """

    type: Annotated[Literal["webdataset"], SPEED] = "webdataset"
    shard_digits: int = Field(5, ge=4, le=12)
    """Digits of shard names; DataComp's resharder wants 8."""


class WebDatasetWriter(ImageWriter):
    """Keys are shard number and place (`000010042`), unique in the package; members of a sample
    stand together.
    """

    Config = WebDatasetOutputConfig
    reserved = ("caption", "key", "status", "error_message", "members")

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        for name in self.byte_columns(schema):
            if len(name) > NAME_MAX // 2:
                yield ("columns",), f"the name {name!r} is too long for members of a tar"

    @property
    def key_length(self) -> int:
        """Digits of a key, unless shards are more than `shard_digits` can tell."""
        return int(self.config.shard_digits) + len(str(self.config.samples_per_shard - 1))

    def byte_columns(self, schema: pa.Schema) -> list[str]:
        """Columns that become members."""
        names = [n for n in self.quality_columns(schema) if n in schema.names]
        return [n for n in names if n not in self.payload() and holds_bytes(schema.field(n).type)]

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        name = f"{shard:0{self.config.shard_digits}d}"
        width = self.key_length - self.config.shard_digits
        keys = [f"{name}{i:0{width}d}" for i in range(rows.table.num_rows)]
        captions = self.choice.of_shard(rows)
        sidecars: list[pa.Table] = []
        kinds: Counter[str] = Counter()

        def write_tar(stream: BinaryIO) -> None:
            for batch in self.batches(rows):
                here = slice(batch.first, batch.first + batch.table.num_rows)
                table = with_own_fields(leaving(batch.table), keys[here], captions[here])
                tell_not_finite(table, rows.told)
                self.write_samples(stream, batch, table, kinds)
                sidecars.append(table)
            stream.write(TAR_END)

        yield OutputFile(f"{name}.tar", write_tar)
        rows.facts["kinds"] = dict(sorted(kinds.items()))
        names = sidecars[0].schema.names
        wanted = [*SIDECAR, *(n for n in names if n not in SIDECAR)]
        yield parquet_file(f"{name}.parquet", pa.concat_tables(sidecars).select(wanted))
        yield bytes_file(f"{name}_stats.json", json_bytes(stats(len(keys))))

    def write_samples(
        self, stream: BinaryIO, batch: Batch, table: pa.Table, kinds: Counter[str]
    ) -> None:
        """Writes the members of each sample: picture, `.txt`, `.json`, then columns with bytes;
        members are counted by suffix in `kinds`.
        """
        order = [*OWN, *(n for n in table.schema.names if n not in OWN)]
        facts = [json_column(table.column(n)) for n in order]
        values = {n: batch.payload.column(n) for n in batch.payload.schema.names}
        waiting: list[bytes] = []
        size = 0
        for i, picture in enumerate(batch.pictures):
            meta = {n: column[i] for n, column in zip(order, facts, strict=True)}
            inside: list[Member] = []
            for column, cells in values.items():
                form, found = members(cells[i].as_py(), cells.type, member_base(column))
                inside += found
                if not is_flat(cells.type):
                    meta.setdefault("members", {})[column] = form
            text = (meta["caption"] or "").encode()
            for kind, data in (
                (picture.suffix, picture.data), ("txt", text), ("json", json_bytes(meta)), *inside
            ):  # fmt: skip
                waiting.append(tar_member(f"{meta['key']}.{kind}", data))
                kinds[kind] += 1
                size += len(waiting[-1])
            if size >= WRITTEN_BYTES:
                stream.write(b"".join(waiting))
                waiting, size = [], 0
        stream.write(b"".join(waiting))

    def closing_files(self, shards: list[dict[str, Any]]) -> list[OutputFile]:
        """`sizes.json` as open_clip reads it, `.nv-meta` as Energon does."""
        tars = [
            (f["name"], s["samples"])
            for s in shards
            for f in s["files"]
            if f["name"].endswith(".tar")
        ]
        return [bytes_file("sizes.json", json_bytes(dict(tars))), *nv_meta(tars, self.suffixes())]

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        kinds = sorted({kind for shard in shards for kind in shard["facts"]["kinds"]})
        types = {"txt": pa.string(), "json": self.json_schema(schema)}
        features = pa.schema(
            [
                *((kind, types.get(kind, pa.binary())) for kind in kinds),
                ("__key__", pa.string()),
                ("__url__", pa.string()),
            ]
        )
        images = tuple(k for k in kinds if k.rpartition(".")[2] in PICTURE_SUFFIXES)
        plain = [k for k in images if "." not in k]
        return Loading(
            "*.tar",
            features,
            images,
            ADVICE,
            columns_in="*.parquet",
            described=pa.schema(list(self.narrow_types(schema).items())),
            pictures=tuple(f"{'?' * self.key_length}.{k}" for k in plain),
        )

    def narrow_types(self, schema: pa.Schema) -> dict[str, pa.DataType]:
        """Types of the columns without bytes, img2dataset's fields first."""
        names = without_bytes(self.columns(schema), schema)
        there = {n: leaving_field(schema.field(n)).type for n in names}
        return {n: own_type(n, there) for n in OWN} | {
            n: t for n, t in there.items() if n not in OWN
        }

    def json_schema(self, schema: pa.Schema) -> pa.DataType:
        """Type of a sample's `.json`."""
        fields = {n: json_type(dtype) for n, dtype in self.narrow_types(schema).items()}
        nested = {
            n: json_type(leaving_field(schema.field(n)).type)
            for n in self.byte_columns(schema)
            if not is_flat(schema.field(n).type)
        }
        if nested:
            fields["members"] = pa.struct(list(nested.items()))
        return pa.struct(list(fields.items()))


def own_type(name: str, there: dict[str, pa.DataType]) -> pa.DataType:
    """Type of one of img2dataset's fields, given the types of the columns that there are."""
    if name in WRITTEN:
        return OWN[name]
    return there.get(name, there.get(name.removeprefix("original_"), OWN[name]))


def with_own_fields(table: pa.Table, keys: list[str], captions: list[str | None]) -> pa.Table:
    """img2dataset's fields first, then every other column."""
    n = table.num_rows
    have = {name: table.column(name) for name in table.schema.names}
    own: dict[str, Any] = {
        "key": keys, "caption": captions, "status": [STATUS] * n, "error_message": [None] * n,
    }  # fmt: skip
    for name, dtype in OWN.items():
        if name in own:
            own[name] = pa.array(own[name], dtype)
        else:
            plain = have.get(name.removeprefix("original_"), pa.nulls(n, dtype))
            own[name] = have.get(name, plain)
    return pa.table({**{n: own[n] for n in OWN}, **{n: c for n, c in have.items() if n not in own}})


def stats(samples: int) -> dict[str, Any]:
    """img2dataset's `_stats.json` of a shard in which all is well."""
    return {
        "count": samples, "successes": samples, "failed_to_download": 0, "failed_to_resize": 0,
        "status_dict": {STATUS: samples},
    }  # fmt: skip
