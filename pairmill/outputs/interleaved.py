"""Interleaved Parquet: one document per row, images and texts in parallel lists as in OBELICS."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import pyarrow as pa

from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows
from pairmill.outputs.chosen import WITHOUT
from pairmill.outputs.features import with_features
from pairmill.outputs.imaged import NOTHING, ImageOutputConfig, ImageWriter
from pairmill.outputs.parquet import DATA
from pairmill.outputs.parquet_files import streamed_parquet
from pairmill.outputs.values import (
    holds_bytes,
    json_bytes,
    json_column,
    leaving,
    leaving_field,
    leaving_type,
    tell_not_finite,
)
from pairmill.schemas.config import SPEED

COLUMNS = b"pairmill.columns"
"""Key of the file's metadata under which the types of the columns in `metadata` stand: an Arrow
schema in base64.
"""
GROUP_DOCUMENTS = 64
GROUP_BYTES = 32 * 2**20
"""A row group ends with the document that fills it."""
OWN = pa.schema(
    [
        ("doc_id", pa.string()),
        ("images", pa.list_(pa.binary())),
        ("texts", pa.list_(pa.string())),
        ("image_urls", pa.list_(pa.string())),
        ("metadata", pa.string()),
        ("general_metadata", pa.string()),
    ]
)
Document = dict[str, Any]


class InterleavedOutputConfig(ImageOutputConfig):
    """`data/00000.parquet` of documents; exactly one of `images[i]` and `texts[i]` is not null."""

    type: Annotated[Literal["interleaved"], SPEED] = "interleaved"
    text_first: bool = False
    """Put an item's text before its image."""


class InterleavedWriter(ImageWriter):
    """Items of a document stand in order of `position`; a pair is a document of one image and one
    text.

    `metadata` is a JSON list, parallel to the items, with the quality columns of each image (null
    for texts); `general_metadata` a JSON object about the document.  Other columns with bytes are
    lists of their own, parallel to the items.
    """

    Config = InterleavedOutputConfig
    picture_needed = False

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        for name in sorted(set(OWN.names) & set(self.byte_columns(schema))):
            yield (
                ("columns",),
                f"the column {name!r} would be hidden by the interleaved output's own {name!r}; "
                "choose `columns:` without it",
            )

    def byte_columns(self, schema: pa.Schema) -> list[str]:
        """Columns with bytes, other than the image, that become lists parallel to a document's
        items.
        """
        names = [n for n in self.quality_columns(schema) if n in schema.names]
        return [n for n in names if n not in self.payload() and holds_bytes(schema.field(n).type)]

    def text_columns(self, schema: pa.Schema) -> list[str]:
        return ["doc_id", "position", "url", *super().text_columns(schema)]

    def documents(self) -> bool:
        return True

    def table_schema(self, schema: pa.Schema) -> pa.Schema:
        """The file's columns; the types of what stands in `metadata` travel in the schema's
        metadata, so that the package can be read back.
        """
        extra = {n: pa.list_(leaving_type(schema.field(n).type)) for n in self.byte_columns(schema)}
        made = with_features(pa.schema([*OWN, *extra.items()]), ["images"])
        named = [n for n in self.quality_columns(schema) if n in schema.names]
        plain = [n for n in named if n not in extra and n not in self.payload()]
        columns = pa.schema([leaving_field(schema.field(n)).remove_metadata() for n in plain])
        return made.with_metadata({**made.metadata, COLUMNS: b64encode(columns.serialize())})

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        schema = self.table_schema(rows.schema)
        yield streamed_parquet(
            f"{DATA}/{shard:05d}.parquet", schema, lambda: self.groups(rows, schema)
        )

    def groups(self, rows: ShardRows, schema: pa.Schema) -> Iterator[pa.Table]:
        """Tables of whole documents, of a row group's size."""
        waiting: list[Document] = []
        size = 0
        for document in self.made(rows, schema.names[len(OWN) :]):
            if not any(document["texts"]):
                rows.told[f"{WITHOUT}any text: documents of pictures alone"] += 1
            waiting.append(document)
            size += sum(len(i) for i in document["images"] if i is not None)
            if len(waiting) >= GROUP_DOCUMENTS or size >= GROUP_BYTES:
                yield as_table(waiting, schema)
                waiting, size = [], 0
        if waiting:
            yield as_table(waiting, schema)

    def made(self, rows: ShardRows, extra: list[str]) -> Iterator[Document]:
        """The documents of a shard: rows that follow one another with one `doc_id` and rising
        positions; `extra`: columns with bytes.
        """
        captions = self.choice.of(rows.table)
        document: Document | None = None
        last = -1
        for batch in self.batches(rows):
            table, payload = leaving(batch.table), leaving(batch.payload)
            tell_not_finite(table, rows.told)
            facts = {n: json_column(table.column(n)) for n in table.schema.names}
            bytes_of = {n: payload.column(n) for n in extra}
            for i, picture in enumerate(batch.pictures):
                fact = {n: column[i] for n, column in facts.items()}
                name, place = fact.pop("doc_id"), fact["position"]
                if document is None or document["doc_id"] != name or place <= last:
                    if document is not None:
                        yield document
                    document = {"doc_id": name, **{n: [] for n in (*OWN.names[1:-1], *extra)}}
                last = place
                others = {n: column[i].as_py() for n, column in bytes_of.items()}
                caption = captions[batch.first + i]
                image = None if picture is NOTHING else picture.data
                if image is None and not caption:
                    rows.told["rows without picture and text are in no document"] += 1
                self.extend(document, image, caption, fact, others)
        if document is not None:
            yield document

    def extend(
        self,
        document: Document,
        image: bytes | None,
        caption: str | None,
        fact: dict[str, Any],
        others: dict[str, Any],
    ) -> None:
        """Adds an image and a text, as far as they are there."""
        url = fact.get("url")
        nothing = dict.fromkeys(others)
        items: list[tuple[Any, ...]] = []
        if image is not None:
            items.append((image, None, url, {"src": url, **fact}, others))
        if caption:
            about = None if image is not None else {"src": url, **fact}
            text = (None, caption, None, about, nothing if image is not None else others)
            items.insert(0 if self.config.text_first else len(items), text)
        for data, words, address, meta, rest in items:
            document["images"].append(data)
            document["texts"].append(words)
            document["image_urls"].append(address)
            document["metadata"].append(meta)
            for name, value in rest.items():
                document[name].append(value)

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(f"{DATA}/*.parquet", self.table_schema(schema), ("images",))


def as_table(documents: list[Document], schema: pa.Schema) -> pa.Table:
    """Documents as rows of the file, a row for each."""
    done = [finished(d) for d in documents]
    columns = [pa.array([d[f.name] for d in done], f.type) for f in schema]
    return pa.table(columns, schema=schema)


def finished(document: Document) -> Document:
    """The document with its facts as JSON texts, and how many items and images it has."""
    general = {
        "items": len(document["texts"]),
        "images": sum(i is not None for i in document["images"]),
    }
    return {
        **document,
        "metadata": json_bytes(document["metadata"]).decode(),
        "general_metadata": json_bytes(general).decode(),
    }
