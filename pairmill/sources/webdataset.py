"""WebDataset tars as img2dataset and others write them."""

import json
import tarfile
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import fsspec
import pyarrow as pa

from pairmill.schemas.config import PATH, SPEED
from pairmill.sources.base import Input, NoInput, Source, Unreadable, column_names
from pairmill.sources.image_bytes import ImageBytesConfig, image_columns, measured_schema
from pairmill.sources.tables import to_table, with_source

IMAGE_SUFFIXES = {"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"}
TEXT_SUFFIXES = {"txt", "caption", "text"}
BATCH = 256
PEEK = 100


class WebDatasetConfig(ImageBytesConfig):
    """Tars of samples: an image, and perhaps a text and a JSON member of the same key."""

    type: Annotated[Literal["webdataset"], SPEED] = "webdataset"
    path: Annotated[str | list[str], PATH]
    """File, folder, glob or fsspec URL of .tar (or .tar.gz) files, or a list of them."""
    columns: dict[str, str] = {}
    """Our column → the key in the samples' JSON, where names are not recognised."""


class WebDatasetSource(Source):
    """Scalar keys of the first 100 samples' JSON become columns; all other keys stay, as JSON, in
    `metadata`.
    """

    def inputs(self) -> list[Input]:
        return [i for i in super().inputs() if ".tar" in i.name]

    def schema(self) -> pa.Schema:
        raw = self._raw_schema()
        names = self._names(raw)
        fields = [pa.field(names[f.name], f.type) for f in raw]
        return pa.schema([*fields, pa.field("metadata", pa.string()), *measured_schema()])

    def _raw_schema(self) -> pa.Schema:
        """Types of the JSON keys and of `txt`, from the first readable samples."""
        rows = []
        for item in self.inputs():
            for sample in samples(item):
                if isinstance(sample, dict):
                    rows.append(sample["fields"])
                if len(rows) >= PEEK:
                    break
            if rows:
                break
        if not rows:
            raise NoInput(f"no sample can be read from {self.config.path}")
        table = to_table(rows)
        if "txt" in table.schema.names and any(
            n in table.schema.names for n in ("caption", "text")
        ):
            table = table.drop_columns([n for n in ("caption", "text") if n in table.schema.names])
        return pa.schema(
            [
                pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type)
                for f in table.schema
            ]
        )

    def _names(self, raw: pa.Schema) -> dict[str, str]:
        mapping = (
            {"text": "txt", **self.config.columns} if "txt" in raw.names else self.config.columns
        )
        return column_names(raw.names, mapping, image=True)

    def read(self) -> Iterator[pa.Table | Unreadable]:
        raw = self._raw_schema()
        names = self._names(raw)
        for item in self.inputs():
            batch: list[dict[str, Any]] = []
            for sample in samples(item):
                if isinstance(sample, Unreadable):
                    yield sample
                    continue
                batch.append(sample)
                if len(batch) == BATCH:
                    yield from self._table(batch, raw, names, item)
                    batch = []
            if batch:
                yield from self._table(batch, raw, names, item)

    def _table(
        self, batch: list[dict[str, Any]], raw: pa.Schema, names: dict[str, str], item: Input
    ) -> Iterator[pa.Table | Unreadable]:
        columns: dict[str, Any] = {}
        misfits: list[dict[str, Any]] = [
            {k: v for k, v in s["fields"].items() if k not in raw.names} for s in batch
        ]
        for field in raw:
            values = []
            for sample, left in zip(batch, misfits, strict=True):
                value, fits = fitting(sample["fields"].get(field.name), field.type)
                values.append(value)
                if not fits:
                    left[field.name] = sample["fields"][field.name]
            columns[names[field.name]] = pa.array(values, field.type)
        columns["metadata"] = pa.array(
            [json.dumps(m, ensure_ascii=False) if m else None for m in misfits], pa.string()
        )
        columns["image"] = pa.array([s["image"] for s in batch], pa.large_binary())
        table = with_source(pa.table(columns), item.name)
        yield from image_columns(table, "image", item.name, None, self.config.check)


def fitting(value: Any, dtype: pa.DataType) -> tuple[Any, bool]:
    if value is None:
        return None, True
    try:
        return pa.scalar(value, dtype).as_py(), True
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return (str(value), True) if pa.types.is_string(dtype) else (None, False)


def samples(item: Input) -> Iterator[dict[str, Any] | Unreadable]:
    """Samples of one tar: neighbouring members whose names agree up to the first dot of the base
    name.
    """
    key: str | None = None
    members: dict[str, bytes] = {}
    try:
        with fsspec.open(item.url, "rb") as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                if not member.isfile() or member.name.rsplit("/", 1)[-1].startswith("__"):
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                this = f"{folder}/{stem}" if folder else stem
                if this != key and members:
                    yield sample_of(item, key, members)
                    members = {}
                handle = tar.extractfile(member)
                data = handle.read() if handle else b""
                if len(data) != member.size:
                    raise tarfile.ReadError("unexpected end of data")
                key, members[suffix.lower()] = this, data
            if members:
                yield sample_of(item, key, members)
                members = {}
            end = tar.offset
        if fault := bad_ending(item, end):
            yield Unreadable(f"{item.name} after {key or 'the beginning'}", f"broken tar: {fault}")
    except (tarfile.TarError, OSError, EOFError) as error:
        yield Unreadable(f"{item.name} after {key or 'the beginning'}", f"broken tar: {error}")


def bad_ending(item: Input, offset: int) -> str | None:
    """Why a tar does not end where tarfile stopped reading (it says nothing of a damaged header),
    or None.
    """
    with fsspec.open(item.url, "rb", compression="infer") as stream:
        stream.seek(offset)
        block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return "it has no end mark; its rest is missing"
    return "a damaged header; what follows it cannot be read" if block.strip(b"\0") else None


def sample_of(
    item: Input, key: str | None, members: dict[str, bytes]
) -> dict[str, Any] | Unreadable:
    image = next(
        (data for suffix, data in members.items() if suffix.rsplit(".", 1)[-1] in IMAGE_SUFFIXES),
        None,
    )
    if image is None:
        return Unreadable(
            f"{item.name} sample {key}", f"no image among its members ({', '.join(members)})"
        )
    fields: dict[str, Any] = {}
    if "json" in members:
        try:
            loaded = json.loads(members["json"])
            fields = loaded if isinstance(loaded, dict) else {}
        except ValueError as error:
            return Unreadable(f"{item.name} sample {key}", f"broken JSON member: {error}")
    fields.setdefault("key", key)
    text = next((data for suffix, data in members.items() if suffix in TEXT_SUFFIXES), None)
    fields["txt"] = None if text is None else text.decode("utf-8", "replace")
    return {"fields": fields, "image": image}
