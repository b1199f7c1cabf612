"""Documents of an `interleaved` package as rows again: an image and the text that belongs to it."""

from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.sources.base import Input, Unreadable
from pairmill.sources.json_columns import JsonShape, parsed
from pairmill.sources.typed_json import typed
from pairmill.texts.amounts import amount

COLUMNS = ["doc_id", "texts", "metadata"]
WRITERS = ("doc_id", "images", "texts", "image_urls", "metadata", "general_metadata")
"""Columns of the file; all others are lists of bytes, parallel to the items."""
TYPES = b"pairmill.columns"
"""Key of the file's metadata under which the types of an image's columns stand."""
OWN = ("src",)
"""What the writer adds to an image's facts."""


class DocumentsBack:
    """A file of an `interleaved` package; an image's columns stand in its document's `metadata`."""

    def __init__(self, item: Input) -> None:
        self.item = item

    def file_schema(self) -> pa.Schema:
        """The file's own columns, a document a row, with the metadata that the writer left."""
        with fsspec.open(self.item.url, "rb") as stream:
            return pq.read_schema(stream)

    def documents(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """The documents, eight of them in memory at once, with these columns alone."""
        with fsspec.open(self.item.url, "rb") as stream:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=8, columns=columns):
                yield from batch.to_pylist()

    def caption_is_text(self) -> bool:
        """Whether every caption is its row's `text`, so that it need not be a column of its own."""
        for document in self.documents(COLUMNS):
            pairs = zip(facts_of(document), captions_of(document), strict=True)
            if any((fact.get("text") or None) != caption for fact, caption in pairs):
                return False
        return True

    def read(self, schema: pa.Schema) -> Iterator[pa.Table | Unreadable]:
        """Tables of a row for each image; a document that is not as pairmill writes it is
        Unreadable.
        """
        extra = [n for n in self.file_schema().names if n not in WRITERS]
        for document in self.documents([*COLUMNS, "images", *extra]):
            place = f"{self.item.name} document {document['doc_id']}"
            try:
                facts = facts_of(document)
            except ValueError as error:
                yield Unreadable(place, str(error))
                continue
            at = [i for i, image in enumerate(document["images"]) if image is not None]
            if len(at) != len(facts):
                what = f"{amount(len(at), 'image')} and the facts of {len(facts)}"
                yield Unreadable(place, what, rows=max(len(at), len(facts)))
                continue
            rows = [
                {**fact, "doc_id": document["doc_id"], "caption": caption}
                for fact, caption in zip(facts, captions_of(document), strict=True)
            ]
            columns = {
                f.name: pa.array([typed(row.get(f.name), f.type) for row in rows], f.type)
                for f in schema
                if f.name not in (*extra, "image")
            }
            for name in extra:
                values = [document[name][i] for i in at]
                columns[name] = pa.array(values, schema.field(name).type)
            images = [document["images"][i] for i in at]
            yield pa.table({**columns, "image": pa.array(images, pa.large_binary())})


def documents_schema(files: Iterable[DocumentsBack]) -> pa.Schema:
    """Columns of all documents in the types that the files tell; in those of JSON where a file of
    an older package does not.
    """
    types: dict[str, pa.DataType] = {}
    shape = JsonShape()
    for file in files:
        found = file.file_schema()
        types |= {f.name: f.type.value_type for f in found if f.name not in WRITERS}
        if spelled := (found.metadata or {}).get(TYPES):
            columns = pa.ipc.read_schema(pa.py_buffer(b64decode(spelled)))
            types |= {f.name: f.type for f in columns}
            continue
        for document in file.documents(COLUMNS):
            for fact in facts_of(document):
                shape.see({k: v for k, v in fact.items() if k not in OWN})
    seen = {f.name: f.type for f in shape.schema()}
    own = {"doc_id": pa.string(), "position": pa.int32(), "caption": pa.string()}
    return pa.schema([*(seen | types | own).items()])


def facts_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns of each image; raises ValueError where `metadata` is no list of objects."""
    found, _ = parsed(document["metadata"] or "[]")
    if not isinstance(found, list) or len(found) != len(document["texts"]):
        raise ValueError("its metadata does not go with its items")
    return [fact for fact in found if isinstance(fact, dict)]


def captions_of(document: dict[str, Any]) -> list[str | None]:
    """The text of each image: the one behind it, or before it in documents that begin with a
    text.
    """
    texts = document["texts"]
    before = bool(texts) and texts[0] is not None
    captions: list[str | None] = []
    for i, text in enumerate(texts):
        if text is None:
            near = i - 1 if before else i + 1
            captions.append(texts[near] if 0 <= near < len(texts) else None)
    return captions
