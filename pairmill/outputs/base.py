"""What an output is: which columns it takes, how one shard of samples becomes files."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.outputs.values import holds_bytes, is_embedding, leaving_field, refusal
from pairmill.schemas.arrow import is_parents_payload, is_payload, is_volatile
from pairmill.schemas.companions import is_companion
from pairmill.schemas.expressions import unknown_column
from pairmill.schemas.pipeline import OutputConfig

Problem = tuple[tuple[str, ...], str]
"""Key path below the output, and what is wrong there."""


@dataclass(frozen=True)
class OutputFile:
    """A file of a package: name relative to it, and what writes its content to a stream."""

    name: str
    write: Callable[[BinaryIO], object]


def bytes_file(name: str, data: bytes) -> OutputFile:
    """A file of a package whose whole content is in memory."""
    return OutputFile(name, lambda stream: stream.write(data))


class HashingStream(io.RawIOBase):
    """Passes bytes on, and counts and hashes them on the way."""

    def __init__(self, target: Any) -> None:
        self.target, self.count, self.hash = target, 0, hashlib.sha256()

    def writable(self) -> bool:
        """Always true; what wraps a raw stream asks for it before it writes."""
        return True

    def write(self, data: Any) -> int:
        """Passes the bytes on and gives their number; `data` is any object that has a buffer."""
        self.target.write(data)
        size = len(memoryview(data).cast("B"))
        self.hash.update(data)
        self.count += size
        return size

    def tell(self) -> int:
        """The number of bytes that were written so far."""
        return self.count


@dataclass(frozen=True)
class ShardRows:
    """The rows of one output shard, in the order of the package.

    `schema`: all columns.  `narrow`: gives those without bytes, some rows at a time.  `payload`:
    gives those with bytes, the same rows in the same order, some at a time.  `count`: rows.
    """

    schema: pa.Schema
    count: int
    narrow: Callable[[], Iterable[pa.Table]]
    payload: Callable[[], Iterable[pa.Table]]
    told: Counter[str] = field(default_factory=Counter)
    """What was done to rows on the way out, and to how many: for people; it stands in the manifest.
    """
    facts: dict[str, Any] = field(default_factory=dict)
    """What the shard's record should hold for `closing_files` and `loading`."""

    @cached_property
    def table(self) -> pa.Table:
        """The columns without bytes, of all rows."""
        return pa.concat_tables(self.narrow()).combine_chunks()

    def batches(self) -> Iterator[tuple[int, pa.Table, pa.Table]]:
        """(number of the first row, columns without bytes, columns with bytes) of some rows."""
        first = 0
        for payload in self.payload():
            yield first, self.table.slice(first, payload.num_rows), payload
            first += payload.num_rows


class Writer:
    """Turns ordered rows into the files of one output shard; the same rows give the same bytes."""

    Config: ClassVar[type[OutputConfig]]
    reserved: ClassVar[tuple[str, ...]] = ()
    """Names that the format uses itself."""
    sorts: ClassVar[bool] = False
    """Each file has an order of its own, whatever that of the rows is."""
    uid_form: ClassVar[str | None] = None
    """What uids have to be, as a regular expression, where it cannot be any text."""

    lengths: Mapping[str, int] = {}
    """Numbers in the embeddings of each of the `measured` columns, as most rows of the package's
    first shard of the pool have them; 0 where no row has any.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        """Everything that does not fit the planned columns."""
        for name in self.config.columns or ():
            if name not in schema.names:
                message = unknown_column(f"the {self.config.type} output", name, schema.names)
                yield ("columns",), message
        for name in self.quality_columns(schema):
            if name in schema.names and (reason := self.refused(schema.field(name))):
                yield (
                    ("columns",),
                    f"the {self.config.type} output cannot hold the column {name!r} "
                    f"({schema.field(name).type}): {reason}; choose `columns:` without it",
                )

    def refused(self, column: pa.Field) -> str | None:
        """Why this output cannot hold a column, or None."""
        return refusal(column.type)

    def payload(self) -> list[str]:
        """Binary columns that every sample needs."""
        return []

    def stored_payload(self, schema: pa.Schema) -> list[str]:
        """Columns that hold bytes, at any depth, which must lie in the workspace."""
        names = [n for n in self.columns(schema) if n in schema.names]
        return [n for n in names if is_payload(schema.field(n).type)]

    def sound_uids(self, uids: pa.ChunkedArray) -> np.ndarray:
        """Which uids have the form that the output needs: bool, one each."""
        return np.asarray(pc.match_substring_regex(uids, self.uid_form or ""))

    def odd_uid(self, uid: str) -> str:
        """What is wrong with one that has another, and what to do."""
        return f"output {self.config.path}: the uid {uid!r} has another form than {self.uid_form}"

    def quality_columns(self, schema: pa.Schema) -> list[str]:
        """Columns that travel with a sample: what the user names, or all but embeddings and what
        differs from run to run.
        """
        if self.config.columns is not None:
            return list(self.config.columns)
        return [f.name for f in schema if not self.is_left_out(f) and f.name not in self.payload()]

    def is_left_out(self, column: pa.Field) -> bool:
        """Whether a column does not leave unless it is named."""
        return (
            is_volatile(column)
            or is_embedding(column.type)
            or is_companion(column.name)
            or is_parents_payload(column)
        )

    def left_out(self, schema: pa.Schema) -> list[str]:
        """Columns that nobody asked to leave out, for people."""
        if self.config.columns is not None:
            return []
        have = set(self.columns(schema))
        return [f.name for f in schema if f.name not in have and not is_companion(f.name)]

    def columns(self, schema: pa.Schema) -> list[str]:
        """All columns that `files` wants."""
        wanted = [*self.quality_columns(schema), *self.payload(), *self.text_columns(schema)]
        return list(dict.fromkeys(wanted))

    def text_columns(self, schema: pa.Schema) -> list[str]:
        """Columns that are read for the format's own fields."""
        return []

    def leaving(self, schema: pa.Schema) -> pa.Schema:
        """The quality columns in the types in which they leave."""
        return pa.schema([leaving_field(schema.field(n)) for n in self.quality_columns(schema)])

    def looked_at(self) -> str | None:
        """Column that `settle` wants to see, or None."""
        return None

    def settle(self, first: Sequence[bytes]) -> None:
        """Takes a look at the beginnings of some values before shards are written."""

    def measured(self, schema: pa.Schema) -> list[str]:
        """Columns of embeddings of which the writer wants to know how long they are."""
        return []

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        """The files of output shard number `shard`; each is written before the next is asked
        for.
        """
        raise NotImplementedError

    def written(self, name: str) -> bytes:
        """The content of one of the package's files; whoever publishes gives it to the writer
        before it asks for `closing_files`.
        """
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Keys that the manifest gets besides, known when `closing_files` were made."""
        return {}

    def closing_files(self, shards: list[dict[str, Any]]) -> list[OutputFile]:
        """Files that need to know all shards."""
        return []

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> "Loading":
        """How the package's files are read, for card and Croissant."""
        raise NotImplementedError

    def documents(self) -> bool:
        """Whether a sample is a document of several rows."""
        return False


@dataclass(frozen=True)
class Loading:
    """How consumers read a package.

    `pattern`: glob of the data files.  `features`: columns as `datasets` sees them, in Arrow types.
    `images`: those of them that are pictures, or lists of pictures.  `advice`: Markdown lines.
    `options`: how `datasets` has to read the files.

    For Croissant, where it needs others: `columns_in`, glob of the files with the columns;
    `described`, these columns; `pictures`, globs of pictures that are files, named by a sample's
    `key`.
    """

    pattern: str | None
    features: pa.Schema
    images: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    columns_in: str | None = None
    described: pa.Schema | None = None
    pictures: tuple[str, ...] = ()


def without_bytes(names: Sequence[str], schema: pa.Schema) -> list[str]:
    """The names of those columns whose types hold no bytes, not even inside lists or structs."""
    return [n for n in names if not holds_bytes(schema.field(n).type)]
