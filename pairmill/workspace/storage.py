"""Files of a workspace or package on a disk or an object store, written whole or not at all.

A local file is written under a temporary name, then renamed.  An object shows only when its upload
is complete.  What several processes may change (columns, leases) is changed under a lock of its
folder on a disk, and in an object store by a write that fails where another came first.
"""

import contextlib
import json
import os
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pairmill.errors import CorruptWorkspace, DiskFull, StorageAway
from pairmill.images import first_line
from pairmill.workspace.encoding import GROUP_BYTES, json_bytes, write_parquet
from pairmill.workspace.object_store import WRITTEN, Objects, connected, credentials, objects_of

MIN_FREE_BYTES = 512 * 2**20
"""Free space that a run leaves on a local disk."""
TEMPORARY = ".tmp-"
SIGN = "workspace.json"
"""What tells a workspace from any other folder."""
SIGN_S = 5.0
"""Seconds for which the sign of a workspace on an object store is believed: every look for a shard
that is not stored asks.
"""
_SEEN: dict[str, float] = {}
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
WHOLE_BYTES = 2**20
"""A file up to this size is read from an object store in one request, whatever columns are wanted.
"""
Groups = Callable[[pq.FileMetaData], Sequence[int]]
"""Numbers of the wanted row groups of a file."""


class Storage:
    """A folder on a filesystem; paths given to its methods are relative to it, with `/`."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if "://" in root else str(Path(root).expanduser().absolute())
        self._connect()

    def _connect(self) -> None:
        if "://" in self.root:
            self.fs, self.base = connected(self.root, credentials())
            self.local = isinstance(self.fs, fs.LocalFileSystem)
        else:
            self.fs, self.base, self.local = fs.LocalFileSystem(), self.root, True

    @property
    def objects(self) -> Objects:
        """Who writes where this is no disk."""
        return objects_of(self.root, credentials())

    def __reduce__(self) -> Any:
        return type(self), (self.root,)

    def path(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base

    def write_bytes(self, name: str, data: bytes) -> None:
        with self.writing(name) as stream:
            stream.write(data)

    def write_json(self, name: str, value: Any) -> None:
        self.write_bytes(name, json_bytes(value))

    def write_table(self, name: str, table: pa.Table, **options: Any) -> None:
        with self.writing(name) as stream:
            write_parquet(stream, table, GROUP_BYTES[self.local], **options)

    def update_table(self, name: str, change: Callable[[pa.Table | None], pa.Table]) -> pa.Table:
        """Replaces a table by what `change` makes of it (of None where there is none) and gives
        what is stored now.

        Nobody else's change is lost: `change` is called again where another came first.
        """

        def changed(data: pa.Buffer | None) -> tuple[pa.Table, pa.Buffer]:
            new = change(None if data is None else self.parsed(name, pa.BufferReader(data)))
            write_parquet(sink := pa.BufferOutputStream(), new, GROUP_BYTES[False])
            return new, sink.getvalue()

        if not self.local:
            return self.replaced(name, changed)
        with self.exclusive(name.rpartition("/")[0]):
            try:
                old = self.read_table(name)
            except FileNotFoundError:
                old = None
            self.write_table(name, new := change(old))
            return new

    def update_json(self, name: str, change: Callable[[Any], Any]) -> Any:
        """Replaces a JSON file by what `change` makes of it (of None where there is none); None
        from it leaves what is there.
        """

        def changed(data: pa.Buffer | None) -> tuple[Any, bytes | None]:
            new = change(None if data is None else self.parsed_json(name, data.to_pybytes()))
            return new, None if new is None else json_bytes(new)

        if not self.local:
            return self.replaced(name, changed)
        with self.exclusive(name.rpartition("/")[0]):
            new, data = changed(pa.py_buffer(self.read_bytes(name)) if self.exists(name) else None)
            if data is not None:
                self.write_bytes(name, data)
            return new

    def keeps_conditions(self) -> bool:
        """Whether nobody's change can be lost here: an object store must refuse a write over what
        its writer did not read.
        """
        if self.local:
            return True
        name = f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
        try:
            return self.objects.keeps_conditions(self.path(name))
        finally:
            self.delete_file(name)

    def replaced(
        self, name: str, change: Callable[[pa.Buffer | None], tuple[Any, bytes | pa.Buffer | None]]
    ) -> Any:
        """Of an object: `change` gives the new value and its bytes, or None to leave it as it is."""
        for attempt in range(WRITES):
            data, version = self.objects.read(self.path(name))
            value, new = change(data)
            if new is None or self.objects.replace(self.path(name), new, version):
                return value
            time.sleep(min(5.0, 0.01 * 2**attempt) * random.random())
        raise StorageAway(
            f"{self.path(name)}: {WRITES} writes in a row came too late; does the store give objects lasting versions (ETags)?"
        )

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A stream whose content appears under `name` when the block ends well, and not otherwise."""
        target = self.path(name)
        if not self.local:
            with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as stream:
                yield stream
                stream.seek(0)
                self.objects.write(target, stream)  # type: ignore[arg-type]
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        self.check_space()
        temporary = f"{os.path.dirname(target)}/{TEMPORARY}{uuid.uuid4().hex[:12]}"
        try:
            with open(temporary, "wb") as stream:
                yield stream
            os.replace(temporary, target)
        except OSError as error:
            if error.errno == 28:
                raise DiskFull(
                    f"no space left on the disk of {self.root}; free some and run the same command again"
                ) from None
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def check_space(self, needed_bytes: int = 0) -> None:
        """Raises DiskFull if a local disk has less than `needed_bytes` above the reserve."""
        if not self.local:
            return
        probe = self.base
        while not os.path.exists(probe):
            probe = os.path.dirname(probe) or "/"
        free = shutil.disk_usage(probe).free
        if free < needed_bytes + MIN_FREE_BYTES:
            raise DiskFull(
                f"{free / 2**30:.1f} GiB free on the disk of {self.root}, {(needed_bytes + MIN_FREE_BYTES) / 2**30:.1f} GiB "
                "needed; free some, or put the workspace elsewhere, and run the same command again"
            )

    def answers(self) -> bool:
        """Whether the file system can be asked at all: a broken connection is no broken file."""
        try:
            return self.fs.get_file_info(self.base).type != fs.FileType.NotFound or not self.local
        except OSError:
            return False

    def check_there(self) -> None:
        """Raises StorageAway where the workspace's own sign is gone: an unmounted folder looks like
        one with nothing stored.

        An object store that showed it a moment ago is not asked again.
        """
        now = time.monotonic()
        if not self.local and now - _SEEN.get(self.root, -SIGN_S) < SIGN_S:
            return
        if self.exists(SIGN):
            _SEEN[self.root] = now
        else:
            raise StorageAway(
                f"the workspace {self.root} is not there any more; bring its file system back, and run the same command again"
            )

    def read_bytes(self, name: str) -> bytes:
        with self.fs.open_input_stream(self.path(name)) as stream:
            return stream.read()

    def read_json(self, name: str) -> Any:
        return self.parsed_json(name, self.read_bytes(name))

    def parsed_json(self, name: str, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise CorruptWorkspace(
                f"{self.path(name)} is no JSON ({error}); delete it and run again"
            ) from None

    def read_table(
        self, name: str, columns: list[str] | None = None, groups: Groups | None = None
    ) -> pa.Table:
        """`groups` chooses the row groups to be read, all if absent."""
        folder = f"{self.root}/{name.rpartition('/')[0]}"
        try:
            if isinstance(self.fs, WRITTEN) and folder not in _LARGE:
                small = self.objects.read_small(self.path(name), WHOLE_BYTES)
                if small is not None:
                    return self.parsed(name, pa.BufferReader(small), columns, groups)
                _LARGE.add(folder)
            with self.fs.open_input_file(self.path(name)) as stream:
                return self.parsed(name, stream, columns, groups)
        except FileNotFoundError:
            raise
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            if isinstance(error, OSError) and not self.answers():
                raise StorageAway(
                    f"{self.root} does not answer ({first_line(error)}); run the same command again when it does"
                ) from None
            raise self.corrupt(name, error) from None

    def parsed(
        self, name: str, source: Any, columns: list[str] | None = None, groups: Groups | None = None
    ) -> pa.Table:
        try:
            file = pq.ParquetFile(source, pre_buffer=not self.local)
            chosen = groups(file.metadata) if groups else range(file.num_row_groups)
            table = file.read_row_groups(chosen, columns, use_threads=False)
            return table if columns is None else table.select(columns)
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(
                source, pa.BufferReader
            ):  # the file system's own: the caller knows more
                raise
            raise self.corrupt(name, error) from None

    def corrupt(self, name: str, error: Exception) -> CorruptWorkspace:
        return CorruptWorkspace(
            f"{self.path(name)} cannot be read ({error}); delete it and run again"
        )

    def schema_of(self, name: str) -> pa.Schema:
        return pq.read_schema(self.path(name), filesystem=self.fs)

    def row_count(self, name: str) -> int:
        return pq.read_metadata(self.path(name), filesystem=self.fs).num_rows

    def exists(self, name: str) -> bool:
        return self.fs.get_file_info(self.path(name)).type != fs.FileType.NotFound

    def size(self, name: str) -> int | None:
        info = self.fs.get_file_info(self.path(name))
        return info.size if info.type == fs.FileType.File else None

    def files(self, name: str = "", recursive: bool = False) -> list[tuple[str, int]]:
        """(path relative to the root, bytes) of the files under a folder, sorted; temporary ones
        left out.
        """
        selector = fs.FileSelector(self.path(name), recursive=recursive, allow_not_found=True)
        infos = self.fs.get_file_info(selector)
        return sorted(
            (i.path[len(self.base) + 1 :], i.size)
            for i in infos
            if i.type == fs.FileType.File and not i.base_name.startswith(TEMPORARY)
        )

    def folders(self, name: str = "") -> list[str]:
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        return sorted(
            i.base_name for i in self.fs.get_file_info(selector) if i.type == fs.FileType.Directory
        )

    def delete_file(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.delete_file(self.path(name))

    def delete_folder(self, name: str) -> None:
        if self.exists(name):
            with contextlib.suppress(
                FileNotFoundError
            ):  # Google's store has no folder behind the files it deleted
                self.fs.delete_dir(self.path(name))

    @contextlib.contextmanager
    def exclusive(self, folder: str) -> Iterator[None]:
        """On a disk: keeps other processes out of a read–merge–replace."""
        import fcntl

        os.makedirs(self.path(folder), exist_ok=True)
        handle = os.open(self.path(f"{folder}/.lock"), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
