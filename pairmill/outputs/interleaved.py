"""Interleaved Parquet: one document per row, images and texts in parallel lists as in OBELICS."""

from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.outputs.base import OutputFile, Writer, json_bytes, json_value, parquet_file
from pairmill.schemas.config import SPEED
from pairmill.schemas.pipeline import OutputConfig

SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("images", pa.list_(pa.large_binary())),
        pa.field("texts", pa.list_(pa.string())),
        pa.field("image_urls", pa.list_(pa.string())),
        pa.field("metadata", pa.string()),
        pa.field("general_metadata", pa.string()),
    ]
)


class InterleavedOutputConfig(OutputConfig):
    """`00000.parquet` of documents; exactly one of `images[i]` and `texts[i]` is not null."""

    type: Annotated[Literal["interleaved"], SPEED] = "interleaved"
    image: str = "image"
    """Column with the encoded images."""
    caption: str | list[str] = Field(["text"], min_length=1)
    """The text of each item: a preference list of columns, or an SQL expression that gives a text.
    """
    text_first: bool = False
    """Put an item's text before its image."""


class InterleavedWriter(Writer):
    """Items of a document stand in order of `position`; a pair is a document of one image and one
    text.

    `metadata` is a JSON list, parallel to the items, with the quality columns of each image (null
    for texts); `general_metadata` a JSON object about the document.
    """

    Config = InterleavedOutputConfig

    def text_columns(self, schema: pa.Schema) -> list[str]:
        return ["doc_id", "position", "url", *super().text_columns(schema)]

    def documents(self) -> bool:
        return True

    def files(self, rows: pa.Table, shard: int, first_key: int) -> list[OutputFile]:
        captions = self.choice.of(rows)
        images = rows.column(self.config.image)
        facts = rows.drop_columns([self.config.image]).to_pylist()
        documents: list[dict[str, Any]] = []
        for i, (fact, caption) in enumerate(zip(facts, captions, strict=True)):
            if (
                not documents
                or documents[-1]["doc_id"] != fact["doc_id"]
                or fact["position"] <= facts[i - 1]["position"]
            ):
                documents.append(
                    {
                        "doc_id": fact["doc_id"],
                        "images": [],
                        "texts": [],
                        "image_urls": [],
                        "metadata": [],
                    }
                )
            self.extend(documents[-1], images[i].as_py(), caption, fact)
        table = pa.table([[finished(d)[f.name] for d in documents] for f in SCHEMA], schema=SCHEMA)
        return [parquet_file(f"{shard:05d}.parquet", table, row_group_size=64)]

    def extend(
        self,
        document: dict[str, Any],
        image: bytes | None,
        caption: str | None,
        fact: dict[str, Any],
    ) -> None:
        quality = {k: json_value(v) for k, v in fact.items() if k not in ("doc_id",)}
        items: list[tuple[bytes | None, str | None, str | None, Any]] = []
        if image is not None:
            items.append((image, None, fact.get("url"), {"src": fact.get("url"), **quality}))
        if caption:
            items.insert(0 if self.config.text_first else len(items), (None, caption, None, None))
        for data, text, url, meta in items:
            for name, value in (
                ("images", data),
                ("texts", text),
                ("image_urls", url),
                ("metadata", meta),
            ):
                document[name].append(value)


def finished(document: dict[str, Any]) -> dict[str, Any]:
    general = {
        "items": len(document["texts"]),
        "images": sum(i is not None for i in document["images"]),
    }
    return {
        **document,
        "metadata": json_bytes(document["metadata"]).decode(),
        "general_metadata": json_bytes(general).decode(),
    }
