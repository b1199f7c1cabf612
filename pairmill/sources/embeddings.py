"""Embeddings in `.npz` files beside the metadata, as DataComp publishes them, joined by uid."""

import struct
import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.schemas.arrow import column
from pairmill.schemas.config import PATH
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Input, NoInput, Remark, Source, Unreadable
from pairmill.sources.faults import KeyFault
from pairmill.sources.file_looks import FileLooks
from pairmill.sources.files import candidates, once_each
from pairmill.sources.globs import Written, no_folder
from pairmill.sources.names import plain_name
from pairmill.texts.amounts import amount

UIDS = ("uid", "uids")
"""Arrays in which a file has the uids itself; DataComp's have them in the Parquet of their name."""
AT_ONCE = 8
"""Compressed arrays that are held; those that are stored plainly are read from the file."""


def wrong(what: str) -> NoInput:
    """The error of what `embeddings:` names."""
    return NoInput(KeyFault(what, ("embeddings",)))


class EmbeddingsConfig(SourceConfig):
    """Keys of sources whose rows may have embeddings in files of their own."""

    embeddings: Annotated[str | list[str] | None, PATH] = None
    """Folder, glob or list of `.npz` files; each two-dimensional array in them is a column, joined
    by `uid`.  The uids stand in the array `uid`, or in the Parquet file of the same name beside it,
    in the same order.
    """


class WithEmbeddings(Source):
    """Another source's rows, and their embeddings (null where there are none)."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner.config)
        self.inner = inner

    def take_looks(self, looks: FileLooks) -> None:
        super().take_looks(looks)
        self.inner.take_looks(looks)

    def leave_out(self, own: Sequence[str], written: Written = no_folder) -> None:
        self.inner.leave_out(own, written)

    def take_config(self, config: SourceConfig) -> None:
        self.config = config
        self.inner.take_config(config)

    @cached_property
    def files(self) -> list[Input]:
        """The `.npz` files that `embeddings:` names."""
        paths = self.inner.config.embeddings
        return arrays_at([paths] if isinstance(paths, str) else list(paths))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Array → values of each row; raises NoInput where files do not agree."""
        sizes: dict[str, int] = {}
        for item in self.files:
            for name, (shape, _) in headers(item).items():
                if len(shape) != 2:
                    continue
                if sizes.setdefault(name, shape[1]) != shape[1]:
                    raise wrong(
                        f"{item.name}: {name} has {shape[1]} values a row, others {sizes[name]}"
                    )
        if not sizes:
            raise wrong(f"no array of embeddings in {', '.join(i.name for i in self.files[:3])}")
        return sizes

    def inputs(self) -> list[Input]:
        return [*self.inner.inputs(), *self.files]

    def schema(self) -> pa.Schema:
        inner = self.inner.schema()
        if "uid" not in inner.names:
            raise wrong("embeddings are joined by `uid`, which the rows do not have")
        fields = [
            column(plain_name(n), pa.list_(pa.float32(), size), f"embedding {n} of the input")
            for n, size in self.sizes.items()
        ]
        return pa.schema([*inner, *fields])

    def unseen(self) -> frozenset[str]:
        return self.inner.unseen()

    def mapping(self) -> list[str]:
        named = ", ".join(f"{plain_name(n)} ({size})" for n, size in self.sizes.items())
        return [*self.inner.mapping(), f"embeddings by uid: {named}"]

    def file_with(self, column: str) -> str:
        return self.inner.file_with(column)

    def advice(self, column: str) -> str:
        return self.inner.advice(column)

    def remarks(self) -> list[Remark]:
        return self.inner.remarks()

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        index = UidIndex(self.files)
        missing = 0
        for part in self.inner.read():
            if not isinstance(part, pa.Table):
                yield part
                continue
            file, row = index.find(part.column("uid").to_pylist())
            missing += int((file < 0).sum())
            for name, size in self.sizes.items():
                values = self.values(name, size, file, row)
                part = part.append_column(plain_name(name), values)
            yield part
        where = self.files[0].name if len(self.files) == 1 else f"{len(self.files)} files"
        if missing:
            yield Remark("rows without embeddings", where, "their uid is in none of them", missing)
        if index.repeated:
            what = "uids that stand there before; the first counts"
            yield Remark("repeated embeddings", where, what, index.repeated)

    def values(self, name: str, size: int, file: np.ndarray, row: np.ndarray) -> pa.Array:
        """Vectors of `size` float32, one a row: row `row` of the array `name` in file number
        `file`; null where `file` is negative or has no such array.
        """
        found = np.zeros((len(file), size), np.float32)
        known = np.zeros(len(file), bool)
        for number in np.unique(file[file >= 0]).tolist():
            array = array_of(self.files[number], name)
            if array is not None:
                here = file == number
                found[here] = array[row[here]]
                known |= here
        flat = pa.array(found.ravel())
        return pa.FixedSizeListArray.from_arrays(flat, size, mask=pa.array(~known))


def arrays_at(paths: list[str]) -> list[Input]:
    """The `.npz` files that paths, folders and globs give; raises NoInput where one gives none."""
    files: list[Input] = []
    for path in paths:
        found = [i for i, _ in candidates(path, lambda name: True) if i.name.endswith(".npz")]
        if not found:
            raise wrong(f"embeddings: {path} matches no .npz file")
        files += found
    return list(once_each(files))


class UidIndex:
    """Where each uid's embeddings stand."""

    def __init__(self, files: list[Input]) -> None:
        uids = [np.array(uids_of(item), dtype="S") for item in files]
        every = np.concatenate(uids)
        order = np.argsort(every, kind="stable")
        self.uids = every[order]
        counts = [len(one) for one in uids]
        self.file = np.repeat(np.arange(len(files)), counts)[order]
        self.row = np.concatenate([np.arange(n) for n in counts])[order]
        self.repeated = int((self.uids[1:] == self.uids[:-1]).sum())

    def find(self, uids: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
        """(number of the file, −1 for none, row in it) of each uid."""
        wanted = np.array([(u or "").encode() for u in uids], dtype="S")
        at = np.searchsorted(self.uids, wanted)
        inside = at < len(self.uids)
        at = np.where(inside, at, 0)
        same = inside & (self.uids[at] == wanted) & (wanted != b"")
        return np.where(same, self.file[at], -1), self.row[at]


def uids_of(item: Input) -> list[str]:
    """The uids of a file's rows, in order; raises NoInput where they are nowhere."""
    rows = {shape[0] for shape, _ in headers(item).values() if len(shape) == 2}
    for name in UIDS:
        if name in headers(item):
            array = np.asarray(array_of(item, name))
            found = [u.decode() if isinstance(u, bytes) else str(u) for u in array.tolist()]
            break
    else:
        beside = item.url.removesuffix(".npz") + ".parquet"
        try:
            with fsspec.open(beside, "rb") as stream:
                found = pq.read_table(stream, columns=["uid"]).column("uid").to_pylist()
        except (OSError, pa.ArrowException, KeyError):
            raise wrong(
                f"{item.name} has no array `uid`, and no Parquet file of its name with a column "
                "`uid` lies beside it"
            ) from None
    if rows != {len(found)}:
        counts = ", ".join(f"{n:,}" for n in sorted(rows))
        raise wrong(f"{item.name} has {counts} rows of embeddings and {amount(len(found), 'uid')}")
    return [u or "" for u in found]


@lru_cache(65_536)
def headers(item: Input) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Array → (shape, type), from the headers alone; raises NoInput where the file is none."""
    found = {}
    try:
        with fsspec.open(item.url, "rb") as stream, zipfile.ZipFile(stream) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".npy"):
                    with archive.open(entry) as member:
                        shape, _, dtype = header_of(member)
                    if not dtype.hasobject:  # objects would have to be unpickled
                        found[entry.filename.removesuffix(".npy")] = (shape, dtype)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise wrong(f"{item.name} is no file of arrays: {error}") from None
    return found


def header_of(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether it lies by columns, type) of a NumPy array, by its header."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    return read(member)


@lru_cache(AT_ONCE)
def array_of(item: Input, name: str) -> np.ndarray | None:
    """An array of a file: mapped where it lies plainly on a disk, else read whole."""
    if name not in headers(item):
        return None
    with fsspec.open(item.url, "rb") as stream, zipfile.ZipFile(stream) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type == zipfile.ZIP_STORED and item.url.startswith("file://"):
            stream.seek(entry.header_offset + 26)
            name_bytes, extra_bytes = struct.unpack("<HH", stream.read(4))
            stream.seek(entry.header_offset + 30 + name_bytes + extra_bytes)
            shape, fortran, dtype = header_of(stream)
            order: Literal["C", "F"] = "F" if fortran else "C"
            path = item.url.removeprefix("file://")
            return np.memmap(path, dtype, "r", stream.tell(), shape, order)
        with archive.open(entry) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
