"""Files of a workspace or package on a disk or an object store, written whole or not at all.

A local file is written under a temporary name, then renamed.  An object shows only when its upload
is complete.  What several processes may change (columns, leases) is changed under a lock of its
folder on a disk, and in an object store by a write that fails where another came first.
"""

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pairmill.errors import StorageAway, first_line
from pairmill.names import inner_name, inside
from pairmill.workspace import disk
from pairmill.workspace.disk import TEMPORARY
from pairmill.workspace.encoding import (
    GROUP_BYTES,
    Columns,
    Groups,
    corrupt,
    json_bytes,
    parsed_json,
    read_footer,
    read_parquet,
    write_parquet,
)
from pairmill.workspace.object_store import WRITTEN, Objects, connected, credentials, objects_of

SIGN = "workspace.json"
"""What tells a workspace from any other folder."""
SIGN_S = 5.0
"""Seconds for which the sign of a workspace on an object store is believed: every look for a shard
that is not stored asks.
"""
_SEEN: dict[str, float] = {}
_DISK = fs.LocalFileSystem()
_LARGE: set[str] = set()
"""Folders of an object store with files that are too large to be read whole: one holds files of one
kind.
"""
WRITES = 30
"""Attempts to write over an object that others write to as well; each that fails means that another
one succeeded.
"""
SPOOL_BYTES = 64 * 2**20
"""Bytes of an upload that are held in memory; more wait in a temporary file."""
Change = Callable[[pa.Table | None], pa.Table]
WHOLE_BYTES = 2**20
"""A file up to this size is read from an object store in one request, whatever columns are wanted.
"""


class Storage:
    """A folder on a filesystem; paths given to its methods are relative to it, with `/`."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if "://" in root else disk.absolute(root)
        self._connect()

    def _connect(self) -> None:
        if "://" in self.root:
            self.fs, self.base = connected(self.root, credentials())
            self.local = isinstance(self.fs, fs.LocalFileSystem)
        else:
            self.fs, self.base, self.local = _DISK, self.root, True

    @property
    def objects(self) -> Objects:
        """Who writes where this is no disk."""
        return objects_of(self.root, credentials())

    def __reduce__(self) -> Any:
        return type(self), (self.root,)

    def path(self, name: str) -> str:
        """Raises StrangeName where the name would lead out of the folder."""
        return f"{self.base}/{inside(name, self.root)}" if name else self.base

    def listed(self, name: object, where: str) -> str:
        """A name that stands in the file `where` of this folder; raises StrangeName where it, or a
        link on the way, leads out.
        """
        return inner_name(name, self.path(where), self.base if self.local else None)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes a file whole or not at all."""
        with self.writing(name) as stream:
            stream.write(data)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a value as indented JSON, whole or not at all."""
        self.write_bytes(name, json_bytes(value))

    def write_table(self, name: str, table: pa.Table, **options: Any) -> None:
        """Writes a Parquet file, whole or not at all; `options` go to its writer."""
        with self.writing(name) as stream:
            write_parquet(stream, table, GROUP_BYTES[self.local], **options)

    def update_table(self, name: str, change: Change, **options: Any) -> pa.Table:
        """Replaces a table by what `change` makes of it (of None where there is none) and gives
        what is stored now.  No change is lost: `change` is called again where another came first.
        """

        def changed(data: pa.Buffer | None) -> tuple[pa.Table, pa.Buffer]:
            source = None if data is None else pa.BufferReader(data)
            new = change(source and read_parquet(self.path(name), source))
            write_parquet(sink := pa.BufferOutputStream(), new, GROUP_BYTES[False], **options)
            return new, sink.getvalue()

        if not self.local:
            return self.replaced(name, changed)
        with disk.exclusive(self.path(name.rpartition("/")[0])):
            try:
                old = self.read_table(name)
            except FileNotFoundError:
                old = None
            self.write_table(name, new := change(old), **options)
            return new

    def update_json(self, name: str, change: Callable[[Any], Any]) -> Any:
        """Replaces a JSON file by what `change` makes of it (of None where there is none); None
        from it leaves what is there.
        """

        def changed(data: pa.Buffer | None) -> tuple[Any, bytes | None]:
            new = change(None if data is None else parsed_json(self.path(name), data.to_pybytes()))
            return new, None if new is None else json_bytes(new)

        if not self.local:
            return self.replaced(name, changed)
        with disk.exclusive(self.path(name.rpartition("/")[0])):
            new, data = changed(pa.py_buffer(self.read_bytes(name)) if self.exists(name) else None)
            if data is not None:
                self.write_bytes(name, data)
            return new

    def keeps_conditions(self) -> bool:
        """Whether no change can be lost: a store must refuse writes over what was not read."""
        if self.local:
            return True
        name = disk.temporary_name()
        try:
            return self.objects.keeps_conditions(self.path(name))
        finally:
            self.delete_file(name)

    def replaced(
        self, name: str, change: Callable[[pa.Buffer | None], tuple[Any, bytes | pa.Buffer | None]]
    ) -> Any:
        """Of an object: `change` gives the new value and its bytes, None to leave it as it is."""
        for attempt in range(WRITES):
            data, version = self.objects.read(self.path(name))
            value, new = change(data)
            if new is None or self.objects.replace(self.path(name), new, version):
                return value
            time.sleep(min(5.0, 0.01 * 2**attempt) * random.random())
        raise StorageAway(
            f"{self.path(name)}: {WRITES} writes in a row came too late; does the store give "
            "objects lasting versions (ETags)?"
        )

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A stream whose content appears under `name` only when the block ends well."""
        target = self.path(name)
        if not self.local:
            with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as stream:
                yield stream
                stream.seek(0)
                self.objects.write(target, stream)  # type: ignore[arg-type]
            return
        self.check_space()
        with disk.writing(target) as stream:
            yield stream

    def check_space(self, needed_bytes: int = 0) -> None:
        """Raises DiskFull if a local disk has less than `needed_bytes` above the reserve."""
        if self.local:
            disk.check_space(self.base, needed_bytes)

    def answers(self) -> bool:
        """Whether the file system can be asked at all: a broken connection is no broken file."""
        try:
            return self.fs.get_file_info(self.base).type != fs.FileType.NotFound or not self.local
        except OSError:
            return False

    def check_there(self) -> None:
        """Raises StorageAway where the workspace's own sign is gone: an unmounted folder looks like
        one with nothing stored.  A store that showed it a moment ago is not asked again.
        """
        now = time.monotonic()
        if not self.local and now - _SEEN.get(self.root, -SIGN_S) < SIGN_S:
            return
        if self.exists(SIGN):
            _SEEN[self.root] = now
        else:
            raise StorageAway(
                f"the workspace {self.root} is not there any more; bring its file system back, and "
                "run the same command again"
            )

    def read_bytes(self, name: str) -> bytes:
        """Content of a file; raises FileNotFoundError."""
        with self.fs.open_input_stream(self.path(name)) as stream:
            return stream.read()

    def read_json(self, name: str) -> Any:
        """Value of a JSON file; raises FileNotFoundError, CorruptWorkspace."""
        return parsed_json(self.path(name), self.read_bytes(name))

    def read_table(
        self, name: str, columns: Columns = None, groups: Groups | None = None
    ) -> pa.Table:
        """`groups` chooses the row groups to be read, all if absent."""
        folder = f"{self.root}/{name.rpartition('/')[0]}"
        try:
            if isinstance(self.fs, WRITTEN) and folder not in _LARGE:
                small = self.objects.read_small(self.path(name), WHOLE_BYTES)
                if small is not None:
                    return read_parquet(self.path(name), pa.BufferReader(small), columns, groups)
                _LARGE.add(folder)
            with self.fs.open_input_file(self.path(name)) as stream:
                return read_parquet(self.path(name), stream, columns, groups, ahead=not self.local)
        except FileNotFoundError:
            raise
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            if isinstance(error, OSError) and not self.answers():
                raise StorageAway(
                    f"{self.root} does not answer ({first_line(error)}); run the same command "
                    "again when it does"
                ) from None
            raise corrupt(self.path(name), error) from None

    def footer(self, name: str) -> pq.FileMetaData:
        """Of a Parquet file; raises CorruptWorkspace."""
        try:
            with self.fs.open_input_file(self.path(name)) as stream:
                return read_footer(self.path(name), stream)
        except pa.ArrowInvalid as error:
            raise corrupt(self.path(name), error) from None

    def schema_of(self, name: str) -> pa.Schema:
        """Columns of a Parquet file, by its footer; raises CorruptWorkspace."""
        return self.footer(name).schema.to_arrow_schema()

    def row_count(self, name: str) -> int:
        """Rows of a Parquet file, by its footer; raises CorruptWorkspace."""
        return self.footer(name).num_rows

    def exists(self, name: str) -> bool:
        """Whether a file or folder is there; raises OSError where the store does not answer."""
        return self.fs.get_file_info(self.path(name)).type != fs.FileType.NotFound

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        info = self.fs.get_file_info(self.path(name))
        return info.size if info.type == fs.FileType.File else None

    def files(self, name: str = "", recursive: bool = False) -> list[tuple[str, int]]:
        """(path from the root, bytes) of a folder's files, sorted; temporary ones left out."""
        selector = fs.FileSelector(self.path(name), recursive=recursive, allow_not_found=True)
        infos = self.fs.get_file_info(selector)
        return sorted(
            (i.path[len(self.base) + 1 :], i.size)
            for i in infos
            if i.type == fs.FileType.File and not i.base_name.startswith(TEMPORARY)
        )

    def folders(self, name: str = "") -> list[str]:
        """Names of the folders in a folder, sorted; none where it is absent."""
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        return sorted(
            i.base_name for i in self.fs.get_file_info(selector) if i.type == fs.FileType.Directory
        )

    def clear_temporary(self, name: str = "", recursive: bool = True) -> int:
        """Removes what writers that are gone left under a folder; gives how many files."""
        return disk.clear_temporary(self.path(name), recursive) if self.local else 0

    def delete_file(self, name: str) -> None:
        """Deletes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.delete_file(self.path(name))

    def delete_folder(self, name: str) -> None:
        """Deletes a folder with all that is in it, if it is there."""
        if self.exists(name):
            with contextlib.suppress(
                FileNotFoundError
            ):  # Google's store has no folder behind the files it deleted
                self.fs.delete_dir(self.path(name))
