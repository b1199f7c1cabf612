"""Documents of an `interleaved` package as rows again: an image and the text that belongs to it."""

from collections.abc import Iterable, Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.sources.base import Input, Unreadable
from pairmill.sources.json_columns import JsonShape, as_stored, parsed

COLUMNS = ["doc_id", "texts", "metadata"]
OWN = ("src",)
"""What the writer adds to an image's facts."""


class DocumentsBack:
    """A file of an `interleaved` package; an image's columns stand in its document's `metadata`."""

    def __init__(self, item: Input) -> None:
        self.item = item

    def caption_is_text(self) -> bool:
        for document in self.documents(COLUMNS):
            pairs = zip(facts_of(document), captions_of(document), strict=True)
            if any(fact.get("text") != caption for fact, caption in pairs):
                return False
        return True

    def documents(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        with fsspec.open(self.item.url, "rb") as stream:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=16, columns=columns):
                yield from batch.to_pylist()

    def read(self, schema: pa.Schema) -> Iterator[pa.Table | Unreadable]:
        for document in self.documents([*COLUMNS, "images"]):
            try:
                facts = facts_of(document)
            except ValueError as error:
                yield Unreadable(f"{self.item.name} document {document['doc_id']}", str(error))
                continue
            captions = captions_of(document)
            images = [image for image in document["images"] if image is not None]
            if len(images) != len(facts):
                what = f"{len(images)} images and the facts of {len(facts)}"
                yield Unreadable(f"{self.item.name} document {document['doc_id']}", what)
                continue
            rows = [
                {**fact, "doc_id": document["doc_id"], "caption": caption}
                for fact, caption in zip(facts, captions, strict=True)
            ]
            wanted = [f for f in schema if f.name in self.names(rows)]
            columns = {
                f.name: pa.array([as_stored(r.get(f.name), f.type) for r in rows], f.type)
                for f in wanted
            }
            yield pa.table({**columns, "image": pa.array(images, pa.large_binary())})

    @staticmethod
    def names(rows: list[dict[str, Any]]) -> set[str]:
        return {name for row in rows for name in row}


def documents_schema(files: Iterable[DocumentsBack]) -> pa.Schema:
    """Columns of all documents, in the types of JSON: whole numbers, doubles, truth values, texts,
    lists of these.
    """
    shape = JsonShape()
    for file in files:
        for document in file.documents(COLUMNS):
            for fact in facts_of(document):
                shape.see({k: v for k, v in fact.items() if k not in OWN})
    types = {f.name: f.type for f in shape.schema()}
    own = {"doc_id": pa.string(), "position": pa.int32(), "caption": pa.string()}
    return pa.schema([*(types | own).items()])


def facts_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns of each image; raises ValueError where `metadata` is no list of objects."""
    found = parsed(document["metadata"] or "[]")
    if not isinstance(found, list) or len(found) != len(document["texts"]):
        raise ValueError("its metadata does not go with its items")
    return [fact for fact in found if isinstance(fact, dict)]


def captions_of(document: dict[str, Any]) -> list[str | None]:
    """The text of each image: the one behind it, or before it in documents that begin with a text."""
    texts = document["texts"]
    before = bool(texts) and texts[0] is not None
    captions: list[str | None] = []
    for i, text in enumerate(texts):
        if text is None:
            near = i - 1 if before else i + 1
            captions.append(texts[near] if 0 <= near < len(texts) else None)
    return captions
