"""MDS shards for mosaicml-streaming, by its own writer."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, BinaryIO, Literal

import pyarrow as pa

from pairmill.errors import MissingPackage
from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows, bytes_file
from pairmill.outputs.imaged import Batch, ImageOutputConfig, ImageWriter
from pairmill.outputs.values import (
    holds_bytes,
    json_bytes,
    json_column,
    leaving,
    tell_not_finite,
)
from pairmill.schemas.arrow import is_bytes
from pairmill.schemas.config import SPEED

INDEX = "index.json"
OWN = {"uid": "str", "image": "bytes", "caption": "str"}
"""The output's own fields, in MDS's encodings."""
ADVICE = (
    "mosaicml-streaming: `StreamingDataset(local=FOLDER)`; a picture is "
    "`PIL.Image.open(io.BytesIO(sample['image']))`."
)


class MdsOutputConfig(ImageOutputConfig):
    """`00000/shard.00000.mds` and one `index.json` over all: `image` (bytes), `caption` and `uid`
    (text), every other column as JSON, other columns of bytes as bytes.

    Needs `pip install 'pairmill[mds]'`.
    """

    type: Annotated[Literal["mds"], SPEED] = "mds"


class MdsWriter(ImageWriter):
    """A null of bytes is written as no bytes: MDS has no null there."""

    Config = MdsOutputConfig
    reserved = ("caption",)

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        try:
            mds_writer()
        except MissingPackage as error:
            yield ("type",), str(error)

    def refused(self, column: pa.Field) -> str | None:
        if holds_bytes(column.type) and not is_bytes(column.type):
            return "MDS has bytes, but no lists or structs of them"
        return super().refused(column)

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        captions = self.choice.of_shard(rows)
        taken = {*OWN, self.config.image}
        names = [f.name for f in rows.schema if f.name not in taken]
        encodings = {n: "bytes" if is_bytes(rows.schema.field(n).type) else "json" for n in names}
        with tempfile.TemporaryDirectory(prefix="pairmill-mds-") as folder:
            place = f"{folder}/{shard:05d}"
            with mds_writer()(out=place, columns={**OWN, **encodings}) as out:
                for batch in self.batches(rows):
                    for sample in self.samples(batch, captions, names, rows):
                        out.write(sample)
            with open(f"{place}/{INDEX}", "rb") as stream:
                rows.facts["mds"] = moved(stream.read(), f"{shard:05d}")
            for name in sorted(os.listdir(place)):
                if name != INDEX:
                    yield OutputFile(f"{shard:05d}/{name}", copier(f"{place}/{name}"))

    def samples(
        self, batch: Batch, captions: list[str | None], names: list[str], rows: ShardRows
    ) -> Iterator[dict[str, Any]]:
        """What MDS's writer takes for each row: uid, encoded image, caption and the columns in
        `names`; nulls of bytes and numbers that JSON has no word for are counted in `rows.told`.
        """
        table = leaving(batch.table)
        tell_not_finite(table, rows.told)
        uids = table.column("uid").to_pylist()
        columns = {n: json_column(table.column(n)) for n in names if n in table.schema.names}
        for name in set(names) - set(columns):
            values = [v.as_py() for v in batch.payload.column(name)]
            if empty := values.count(None):
                rows.told[f"nulls of {name!r} are no bytes"] += empty
            columns[name] = [v or b"" for v in values]
        for i, picture in enumerate(batch.pictures):
            own = {
                "uid": uids[i],
                "image": picture.data,
                "caption": captions[batch.first + i] or "",
            }
            yield {**own, **{n: values[i] for n, values in columns.items()}}

    def closing_files(self, shards: list[dict[str, Any]]) -> list[OutputFile]:
        """One `index.json` over the folders of all shards."""
        entries = [entry for s in shards for entry in s["facts"]["mds"]]
        return [bytes_file(INDEX, json_bytes({"version": 2, "shards": entries}))]

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(None, pa.schema([]), (), (ADVICE,))


def mds_writer() -> Any:
    """mosaicml-streaming's `MDSWriter`; raises MissingPackage."""
    try:
        from streaming import MDSWriter
    except ModuleNotFoundError as error:
        if error.name != "streaming":
            raise
        raise MissingPackage("mosaicml-streaming", "the mds output", "mds") from None
    return MDSWriter


def moved(index: bytes, folder: str) -> list[dict[str, Any]]:
    """An index's shards, as an index one folder up names them."""
    shards = json.loads(index)["shards"]
    for shard in shards:
        shard["raw_data"]["basename"] = f"{folder}/{shard['raw_data']['basename']}"
    return shards


def copier(path: str) -> Callable[[BinaryIO], None]:
    """What writes a file from the local disk into a package, one MiB at a time."""

    def copy(stream: BinaryIO) -> None:
        with open(path, "rb") as source:
            shutil.copyfileobj(source, stream, 2**20)

    return copy
