"""Where rows that were read wait for their place: in a file of Arrow batches, or in memory."""

import contextlib
import os
from dataclasses import replace

import pyarrow as pa

from pairmill.workspace.disk import check_space, full_disk_told
from pairmill.workspace.parts import InFile, InMemory, ReadPart


class Carried:
    """Rows that wait in memory."""

    def __init__(self) -> None:
        self.bytes = 0
        self.last: pa.RecordBatch | None = None

    def put(self, part: ReadPart) -> ReadPart:
        """The part; a batch of several counts once."""
        where = part.where
        if isinstance(where, InMemory) and where.batch is not self.last:
            self.last = where.batch
            self.bytes += where.batch.nbytes
        return part

    def forget(self) -> None:
        """Nothing is left behind."""

    def __enter__(self) -> "Carried":
        return self

    def __exit__(self, *raised: object) -> None:
        self.last = None


class Spool:
    """A file of Arrow batches, opened for the first of them.  Raises DiskFull."""

    def __init__(self, file: str) -> None:
        self.file, self.batches = file, 0
        self.last: pa.RecordBatch | None = None
        self.stream: pa.OSFile | None = None
        self.writer: pa.ipc.RecordBatchFileWriter | None = None
        check_space(os.path.dirname(file))

    @property
    def bytes(self) -> int:
        """Written so far."""
        return 0 if self.stream is None else int(self.stream.tell())

    def put(self, part: ReadPart) -> ReadPart:
        """Writes rows, a batch of several parts once; gives what stands for them."""
        where = part.where
        assert isinstance(where, InMemory)
        if where.batch is not self.last:
            with full_disk_told(os.path.dirname(self.file)):
                if self.writer is None:
                    self.stream = pa.OSFile(self.file, "wb")
                    self.writer = pa.ipc.new_file(self.stream, where.batch.schema)
                self.writer.write_batch(where.batch)
            self.last = where.batch
            self.batches += 1
        return replace(part, where=InFile(self.file, self.batches - 1, where.first, where.count))

    def forget(self) -> None:
        """Removes the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *raised: object) -> None:
        if self.writer is None or self.stream is None:
            return
        with full_disk_told(os.path.dirname(self.file)), self.stream:
            self.writer.close()
