"""Packages that pairmill wrote, read back as they lie: the same values, in columns of the same
types.
"""

import json
import posixpath
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.names import inner_name
from pairmill.schemas.config import PATH, SPEED
from pairmill.sources.base import Input, NoInput, Remark, Source, Unreadable
from pairmill.sources.documents_back import DocumentsBack, documents_schema
from pairmill.sources.image_bytes import ImageBytesConfig, image_columns, measured_schema
from pairmill.sources.package_tar import PackageTar
from pairmill.sources.parquet_files import parquet_rows
from pairmill.sources.plain_types import plain_type
from pairmill.sources.rows import Rows

MANIFEST = "manifest.json"
WRITTEN = ("key", "status", "error_message")
"""Columns that a package's writer adds and that say nothing of the sample."""
IMAGES = "images"
FORMATS = ("webdataset", "parquet", "interleaved", "messages", "table")


class PackageConfig(ImageBytesConfig):
    """The folder of a package that pairmill wrote: `webdataset`, `parquet` or `interleaved`."""

    type: Annotated[Literal["package"], SPEED] = "package"
    path: Annotated[str | list[str], PATH]
    """Folder or fsspec URL of the package, or a list of them."""


class PackageSource(Source):
    """Every column of the package's samples; `caption` is one where it differs from `text`."""

    Config = PackageConfig

    def __init__(self, config: PackageConfig) -> None:
        super().__init__(config)
        self._schema: pa.Schema | None = None
        self.same_caption = True

    @cached_property
    def packages(self) -> list["Package"]:
        """Raises NoInput where a folder is no package."""
        paths = [self.config.path] if isinstance(self.config.path, str) else self.config.path
        return [Package(path) for path in paths]

    @property
    def has_images(self) -> bool:
        """Whether every package holds pictures; those of the format `table` do not."""
        return all(package.format != "table" for package in self.packages)

    def inputs(self) -> list[Input]:
        return [item for package in self.packages for item in package.files]

    def remarks(self) -> list[Remark]:
        return []

    def schema(self) -> pa.Schema:
        if self._schema is None:
            found = [schema for package in self.packages for schema in package.schemas()]
            try:
                whole = pa.unify_schemas(found, promote_options="permissive")
            except pa.ArrowException as error:
                raise NoInput(f"packages whose columns do not agree: {error}") from None
            self.same_caption = "text" not in whole.names or all(
                reader.caption_is_text() for p in self.packages for reader in p.readers()
            )
            measured = {f.name for f in measured_schema()} if self.has_images else set()
            names = measured | set(WRITTEN)
            names |= {"caption"} if self.same_caption else set()
            names |= {IMAGES} if "image" not in whole.names else set()
            fields = [(f.name, plain_type(f.type)) for f in whole if f.name not in names]
            if "text" not in whole.names:
                fields.append(("text", pa.string()))
            self._schema = pa.schema([*fields, *(measured_schema() if self.has_images else [])])
        return self._schema

    def mapping(self) -> list[str]:
        kinds = ", ".join(dict.fromkeys(p.format for p in self.packages))
        return [f"columns of the {kinds} package as they are"]

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        schema = self.schema()
        for package in self.packages:
            rows = 0
            for reader in package.readers():
                for part in reader.read(schema):
                    if isinstance(part, pa.Table):
                        places = [
                            f"{reader.item.name} sample {n}"
                            for n in range(rows, rows + part.num_rows)
                        ]
                        rows += part.num_rows
                        yield from self.prepared(part, schema, places)
                    else:
                        yield part
                    rows += isinstance(part, Unreadable)
            if package.samples is not None and rows != package.samples:
                said = f"its manifest says {package.samples:,} samples; {rows:,} were found"
                yield Remark("packages that are not whole", package.path, said)

    def prepared(
        self, part: pa.Table, schema: pa.Schema, places: list[str]
    ) -> Iterator[pa.Table | Unreadable]:
        """A part of a package in our columns, null where it has none, and its images checked;
        `places`: where each row stands, for messages.
        """
        if "text" not in part.schema.names and "caption" in part.schema.names:
            part = part.append_column("text", part.column("caption"))
        measured = {f.name for f in measured_schema()}
        wanted = [f for f in schema if f.name not in measured]
        columns = {
            f.name: part.column(f.name).cast(f.type)
            if f.name in part.schema.names
            else pa.nulls(part.num_rows, f.type)
            for f in wanted
        }
        if not self.has_images:
            yield pa.table(columns)
            return
        columns["image"] = part.column("image")
        yield from image_columns(pa.table(columns), "image", "", places, self.config.check)


class Package:
    """A package's folder: its format, how many samples it holds, its data files."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.system, self.root = fsspec.core.url_to_fs(path)
        manifest = read_manifest(path)
        if manifest is None:
            raise NoInput(f"{path} is no package of pairmill: it has no {MANIFEST} of one")
        self.format = str(manifest.get("format"))
        if self.format not in FORMATS:
            raise NoInput(
                f"{path} is a {self.format!r} package, which cannot be read back "
                f"({', '.join(FORMATS)} can)"
            )
        samples = manifest.get("samples")
        self.samples = (
            samples if isinstance(samples, int) and self.format != "interleaved" else None
        )
        listed = manifest.get("files")
        names = (
            [f.get("name") for f in listed if isinstance(f, dict)]
            if isinstance(listed, list)
            else []
        )
        inside = sorted(inner_name(n, f"{path}: {MANIFEST}") for n in names)
        suffix = ".tar" if self.format == "webdataset" else ".parquet"
        self.names = [n for n in inside if n.endswith(suffix)]
        self.sidecars = {posixpath.basename(n): n for n in inside if n.endswith(".parquet")}
        self.files = [self.input_of(name) for name in self.names]
        if not self.files and samples == 0:
            raise NoInput(f"{path}: the package holds no sample")
        if not self.files:
            raise NoInput(
                f"{path}: its {MANIFEST} names no {suffix} file; `type: pairs` reads its other "
                "files"
            )

    def input_of(self, name: str) -> Input:
        """A file of the package as input; raises NoInput where it is missing."""
        place = f"{self.root.rstrip('/')}/{name}"
        try:
            info = self.system.info(place)
        except FileNotFoundError:
            raise NoInput(f"{self.path}: {name} is missing, which its {MANIFEST} names") from None
        keys = ("ETag", "etag", "mtime", "LastModified", "updated")
        version = next((str(info[k]) for k in keys if info.get(k)), "")
        return Input(name, self.system.unstrip_protocol(place), info.get("size") or 0, version)

    def schemas(self) -> list[pa.Schema]:
        """The columns of each file; one schema for all files of documents."""
        if self.format == "interleaved":
            return [documents_schema(DocumentsBack(item) for item in self.files)]
        return [reader.schema() for reader in self.readers()]

    def readers(self) -> Iterator[Any]:
        """A reader for each file, by the package's format."""
        for item in self.files:
            if self.format == "webdataset":
                beside = posixpath.basename(item.name)[: -len("tar")] + "parquet"
                yield PackageTar(item, self.input_of(self.sidecars.get(beside, beside)))
            else:
                yield DocumentsBack(item) if self.format == "interleaved" else PairsBack(item)


class PairsBack:
    """A Parquet file of a package, a row for each sample."""

    def __init__(self, item: Input) -> None:
        self.item = item

    def schema(self) -> pa.Schema:
        """The file's columns, without the metadata that was meant for other readers."""
        with fsspec.open(self.item.url, "rb") as stream:
            return pq.read_schema(stream).remove_metadata()

    def caption_is_text(self) -> bool:
        """Whether every caption is its row's `text`, so that it need not be a column of its own."""
        if "caption" not in self.schema().names:
            return False
        with fsspec.open(self.item.url, "rb") as stream:
            return repeats_text(pq.read_table(stream, columns=["caption", "text"]))

    def read(self, schema: pa.Schema) -> Iterator[pa.Table | Unreadable | Remark]:
        """The rows as tables, the first picture of a list as `image`, and what of the file cannot
        be read.
        """
        for part in parquet_rows(self.item):
            if not isinstance(part, Rows):
                yield part
                continue
            table = part.table
            if IMAGES in table.schema.names and "image" not in table.schema.names:
                table = table.append_column("image", first_of_each(table.column(IMAGES)))
            yield table


def first_of_each(images: pa.ChunkedArray) -> pa.Array:
    """The bytes of the one image that a conversation has."""
    values = [(v[0] or {}).get("bytes") if v else None for v in images.to_pylist()]
    return pa.array(values, pa.large_binary())


def repeats_text(table: pa.Table) -> bool:
    """Whether the captions of a table are its texts, row by row."""
    return table.column("caption").equals(table.column("text"))


def read_manifest(path: str) -> dict[str, Any] | None:
    """The manifest of a package in a folder, or None where it is none of pairmill's."""
    try:
        system, root = fsspec.core.url_to_fs(path)
        manifest = json.loads(system.cat_file(f"{root.rstrip('/')}/{MANIFEST}"))
    except Exception:  # each store has errors of its own; who lists the files tells of them
        return None
    return manifest if isinstance(manifest, dict) and "pairmill" in manifest else None
