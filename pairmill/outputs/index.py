"""Embeddings, what belongs to them, and a neighbour index, as LAION published them and
clip-retrieval, autofaiss and embedding-reader read them.
"""

import io
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.errors import MissingPackage
from pairmill.models.neighbours import faiss
from pairmill.models.towers import origin_of
from pairmill.models.vectors import lengths_of, vectors_as_long
from pairmill.outputs.base import (
    Loading,
    OutputFile,
    Problem,
    ShardRows,
    Writer,
    bytes_file,
)
from pairmill.outputs.caption import CaptionChoice
from pairmill.outputs.chosen import WITHOUT
from pairmill.outputs.faiss_index import neighbour_index
from pairmill.outputs.features import with_features
from pairmill.outputs.parquet_files import streamed_parquet
from pairmill.outputs.values import holds_bytes, leaving, leaving_field
from pairmill.schemas.arrow import is_list, of_role
from pairmill.schemas.config import SPEED
from pairmill.schemas.expressions import unknown_column
from pairmill.schemas.pipeline import OutputConfig

METADATA = "metadata"
SIDES = {"image": "img_emb", "text": "text_emb"}
"""Side → folder of its embeddings; `image.index` and `text.index` are their indices."""
ADVICE = (
    '`pairmill search FOLDER "a red bicycle"` shows the nearest rows.',
    "clip-retrieval: `clip-retrieval back --indices-paths` takes a JSON file that names this "
    "folder; autofaiss and embedding-reader read `img_emb`, `text_emb` and `metadata` as "
    "`parquet_npy`; row i of the files in order is number i of the index.",
)


class IndexOutputConfig(OutputConfig):
    """`img_emb/img_emb_00000.npy`, `metadata/metadata_00000.parquet` with `caption` and the quality
    columns in the same order, and a faiss index `image.index` (and `text_emb`, `text.index`) over
    all of them; `pairmill search` asks it.

    Needs `pip install 'pairmill[index]'`.
    """

    type: Annotated[Literal["index"], SPEED] = "index"
    image: str | None = None
    """Column with embeddings of images; `image_embedding` if absent and there."""
    text: str | None = None
    """Column with embeddings of texts; `text_embedding` if absent and there."""
    caption: str | list[str] = Field(["text"], min_length=1)
    """The text that stands for a row: a preference list, or an SQL expression that gives a text."""
    samples_per_shard: int = Field(100_000, ge=1, le=10_000_000)
    """Rows in each file; only the last one has fewer."""
    cells: int | None = Field(None, ge=1, le=1_000_000)
    """k-means cells; if absent, none up to 50,000 rows and the square root of them beyond."""
    recall: float = Field(0.95, gt=0, le=1)
    """Share of the ten nearest that the index is to find: as many cells are looked into."""


class IndexWriter(Writer):
    """A row without an embedding, or with one that cannot be compared with the others, stands in
    the files as zeros, which are near to nothing.
    """

    Config = IndexOutputConfig
    reserved = ("caption",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.choice = CaptionChoice(config.caption)
        self.facts: dict[str, Any] = {}

    def sides(self, schema: pa.Schema) -> dict[str, str]:
        """Side → its column of embeddings."""
        given = {"image": self.config.image, "text": self.config.text}
        if not any(given.values()):
            given = {side: f"{side}_embedding" for side in SIDES}
            given = {side: name for side, name in given.items() if name in schema.names}
        return {side: name for side, name in given.items() if name}

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        yield from self.choice.problems(schema)
        try:
            faiss()
        except MissingPackage as error:
            yield ("type",), str(error)
        sides = self.sides(schema)
        if not sides:
            have = ", ".join(of_role(schema, "embedding")) or "none"
            yield (
                (),
                "the index output needs a column of embeddings, as `embed` writes them; name one "
                f"in `image` or `text` (embeddings here: {have})",
            )
        for side, name in sides.items():
            if name not in schema.names:
                yield (side,), unknown_column("the index output", name, schema.names)
            elif not is_vector(schema.field(name).type):
                yield (side,), f"{name!r} is {schema.field(name).type}, not embeddings"
        if "caption" in self.quality_columns(schema) and "caption" not in self.choice.names():
            yield (
                ("caption",),
                "the column 'caption' would be hidden by the index output's own; list it in "
                "`caption:`, or choose `columns:` without it",
            )

    def is_left_out(self, column: pa.Field) -> bool:
        return super().is_left_out(column) or holds_bytes(column.type)

    def measured(self, schema: pa.Schema) -> list[str]:
        return list(self.sides(schema).values())

    def left_out(self, schema: pa.Schema) -> list[str]:
        return [n for n in super().left_out(schema) if n not in self.sides(schema).values()]

    def text_columns(self, schema: pa.Schema) -> list[str]:
        names = self.choice.compiled(schema).columns
        return ["uid", *names, *self.sides(schema).values()]

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        for side, name in self.sides(rows.schema).items():
            kind = SIDES[side]
            field = rows.schema.field(name)
            if not self.lengths[name]:
                rows.told[f"{WITHOUT}{name}: there is no index of the {side}"] += rows.count
                continue
            vectors = self.vectors(rows, name)
            origin = origin_of(field)
            rows.facts[side] = {
                "column": name,
                **(origin.to_json() if origin else dict.fromkeys(("model", "revision"))),
            }
            array = partial(np.lib.format.write_array, array=vectors, allow_pickle=False)
            yield OutputFile(f"{kind}/{kind}_{shard:05d}.npy", array)
        schema, captions = self.table_schema(rows.schema), self.choice.of_shard(rows)
        yield streamed_parquet(
            f"{METADATA}/{METADATA}_{shard:05d}.parquet",
            schema,
            lambda: [self.table(rows, schema, captions)],
        )

    def vectors(self, rows: ShardRows, name: str) -> np.ndarray:
        """The embeddings of a shard, float16 or float32 (n, d), zeros where there is none that can
        be compared; how many of these, and why, is told.
        """
        values, length = rows.table.column(name), self.lengths[name]
        half = pa.types.is_float16(values.type.value_type)
        vectors = vectors_as_long(values, length).astype(np.float16 if half else np.float32)
        lengths, finite = lengths_of(values), np.isfinite(vectors).all(1)
        vectors[~finite] = 0
        fitting = lengths == length
        reasons = {
            f"{name}: zeros stand in the index": lengths < 0,
            f"{name} of {length} numbers: zeros stand in the index": (lengths >= 0) & ~fitting,
            f"finite numbers in {name}: zeros stand in the index": fitting & ~finite,
            f"numbers but zeros in {name}: near to nothing": fitting & finite & ~vectors.any(1),
        }
        for what, which in reasons.items():
            if which.any():
                rows.told[f"{WITHOUT}{what}"] += int(which.sum())
        return vectors

    def table_schema(self, schema: pa.Schema) -> pa.Schema:
        """The columns of the metadata: uid and caption, then those that travel with a row."""
        own = [pa.field("uid", pa.string()), pa.field("caption", pa.string())]
        names = [n for n in self.quality_columns(schema) if n not in ("uid", "caption")]
        fields = [leaving_field(schema.field(n)).remove_metadata() for n in names]
        return with_features(pa.schema([*own, *fields]))

    def table(self, rows: ShardRows, schema: pa.Schema, captions: list[str | None]) -> pa.Table:
        """The metadata of a shard."""
        left = leaving(rows.table.select([n for n in rows.table.schema.names if n in schema.names]))
        have: dict[str, Any] = {n: left.column(n) for n in left.schema.names}
        have["caption"] = pa.array(captions, pa.string())
        return pa.table([have[n] for n in schema.names], schema=schema)

    def closing_files(self, shards: list[dict[str, Any]]) -> list[OutputFile]:
        found = []
        for side, kind in SIDES.items():
            mine = [shard for shard in shards if side in shard["facts"]]
            names = [f"{kind}/{kind}_{shard['shard']:05d}.npy" for shard in mine]
            if not names:
                continue
            parts = [partial(self.array, name) for name in names]
            index = neighbour_index(parts, self.config.cells, self.config.recall)
            self.facts[side] = {"file": f"{side}.index", **mine[0]["facts"][side], **index.facts}
            found.append(bytes_file(f"{side}.index", index.data))
        return found

    def array(self, name: str) -> np.ndarray:
        """An array of the package, as it was written."""
        return np.load(io.BytesIO(self.written(name)), allow_pickle=False)

    def described(self) -> dict[str, Any]:
        return {"index": self.facts}

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(f"{METADATA}/*.parquet", self.table_schema(schema), advice=ADVICE)


def is_vector(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds embeddings."""
    return is_list(dtype) and pa.types.is_floating(dtype.value_type)
