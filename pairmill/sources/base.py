"""What a source is: input files, the columns they give, and their rows in order."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from pairmill.addresses import without_credentials
from pairmill.redaction import redact
from pairmill.schemas.config import PATH, marks_of, value_fields
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.faults import NoInput
from pairmill.sources.file_looks import FileLooks
from pairmill.sources.files import Listing, list_inputs
from pairmill.sources.globs import Written, no_folder
from pairmill.sources.input_file import Input
from pairmill.sources.names import column_names

__all__ = ["Input", "NoInput", "Remark", "Source", "Unreadable", "column_names", "content_digest"]


@dataclass(frozen=True)
class Unreadable:
    """Input rows that could not be read: where they stand, why, in which column, how many."""

    location: str
    """`FILE line N` (lines count from 1) or `FILE row N` (rows of binary formats count from 0)."""
    reason: str
    column: str | None = None
    rows: int = 1
    misfit: bool = False
    """Whether a value is of another type than the column's."""

    def __post_init__(self) -> None:
        for name in ("location", "reason"):
            object.__setattr__(self, name, redact(getattr(self, name)))


@dataclass(frozen=True)
class Remark:
    """Something that reading skipped, repaired or guessed, told at the end of the run.

    Remarks of one `kind` are counted together; a few of their places are shown.
    """

    kind: str
    """What happened, in the plural: `repaired values`, `skipped files`, `repeated uids`."""
    location: str
    what: str
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("location", "what"):
            object.__setattr__(self, name, redact(getattr(self, name)))


@dataclass(frozen=True)
class Unit:
    """A part of the input that is read by itself: what it gives depends on its files, the source's
    options and `how`, and on nothing else.
    """

    items: tuple[Input, ...]
    read: Callable[[], Iterator[pa.Table | Unreadable | Remark]]
    how: str = ""
    """What else was settled for it: which of its columns became which of ours."""
    passed: Callable[[int, list[Unreadable]], None] = lambda rows, faults: None
    """Told of rows and faults of the unit where they are known and it is not read."""
    parts: Callable[[], Sequence[Callable[[], Iterator[pa.Table | Unreadable | Remark]]]] = tuple
    """What `read` gives, in parts that other processes may read at the same time; none where it is
    read as a whole.  Asked only where the unit is to be read, as it may look into files.
    """
    heard: Callable[[int, Sequence[Unreadable]], None] = lambda rows, faults: None
    """Told, in order, of what the parts gave; may raise RunError."""
    at_hand: bool = False
    """Whether its rows are in memory already."""
    options: Mapping[str, Any] | None = None
    """What in the config decides its rows, where that is less than the source's `options`."""
    rows: int = 0
    """How many it has, where its file tells without being read."""


class Source:
    """Reads input files into Arrow tables whose columns are those of `schema`.

    A reader of one more format gives `reads`, `schema` and `read`; all else has an answer here.
    """

    Config: ClassVar[type[SourceConfig]]

    def __init__(self, config: Any) -> None:
        self.config = config
        self.own: tuple[str, ...] = ()
        self.written: Written = no_folder
        self.looks = FileLooks()
        self._listing: Listing | None = None

    def take_looks(self, looks: FileLooks) -> None:
        """Takes what the last run's looks at files found; this one's are added."""
        self.looks = looks

    def leave_out(self, own: Sequence[str], written: Written = no_folder) -> None:
        """Takes folders that are no input though they lie in a folder that is: what the pipeline
        writes itself, and those of which `written` says what they are.
        """
        self.own, self.written = tuple(own), written

    def take_config(self, config: SourceConfig) -> None:
        """Takes another config, in which the planner has settled what the pipeline file left
        open.
        """
        self.config = config

    def reads(self, name: str) -> bool:
        """Whether a file that a folder or a glob gives is of a format that this source reads."""
        return True

    def listing(self) -> Listing:
        """The input files and what was left out; looked up once for each source object."""
        if self._listing is None:
            path = self.config.path
            paths = [path] if isinstance(path, str) else path
            self._listing = list_inputs(paths, self.reads, self.own, self.written)
        return self._listing

    def inputs(self) -> list[Input]:
        """The input files; raises NoInput where there are none."""
        return self.listing().files

    def schema(self) -> pa.Schema:
        """The columns that `read` gives, beside those that the pool adds.

        Raises NoInput, with all faults of all files, where the rows cannot be read as they are
        described.
        """
        raise NotImplementedError

    def unseen(self) -> frozenset[str]:
        """Columns of `schema` of which no value was seen, or lists without an element: their type
        says nothing, and another source's counts.
        """
        return frozenset()

    def parts(self) -> dict[tuple[str, ...], "Source"]:
        """The sources of which this one is made, by their keys in the pipeline file below `source`:
        itself, or several.
        """
        return {(): self}

    def options(self) -> dict[str, Any]:
        """What in the config decides the rows, as plain data; where the files lie does not."""
        kind = type(self.config)
        decides = {
            k: v for k, v in value_fields(self.config).items() if PATH not in marks_of(kind, k)
        }
        return {"type": self.config.type, "options": decides}

    def file_with(self, column: str) -> str:
        """For people: the input that holds a column, as near as it is known."""
        names = [item.name for item in self.inputs()]
        return names[0] if len(names) == 1 else f"{len(names):,} files, {names[0]} the first"

    def mapping(self) -> list[str]:
        """For people: which of the input's columns became which of ours, one line for each kind
        of file.
        """
        return []

    def advice(self, column: str) -> str:
        """For people: why there is no `column`, and what in the pipeline file would give one."""
        have = ", ".join(self.schema().names)
        return f"the input has no column that is {column!r} (columns: {have})"

    def remarks(self) -> list[Remark]:
        """What is to be told before any row is read: files that were left out."""
        return [Remark("skipped files", name, why) for name, why in self.listing().skipped]

    def read(self) -> Iterator[pa.Table | Unreadable | Remark]:
        """Rows in the order of the input; every row that cannot be read comes as Unreadable."""
        raise NotImplementedError

    def units(self) -> Sequence[Unit]:
        """The same part by part, in order, where parts can be read without the others: so that a
        file that was read before is not read again.  A large unit has shards of its own.
        """
        return [Unit(tuple(self.inputs()), self.read)]


def content_digest(item: Input) -> str:
    """SHA-256 of a local file's bytes; of name, size and version for what lies elsewhere, or beside
    a table.
    """
    h = hashlib.sha256()
    if item.beside:
        h.update(f"{item.name}|{item.size_bytes}|{item.version}".encode())
    elif item.url.startswith("file://"):
        with open(item.url.removeprefix("file://"), "rb") as stream:
            while chunk := stream.read(2**20):
                h.update(chunk)
    else:
        h.update(f"{without_credentials(item.url)}|{item.size_bytes}|{item.version}".encode())
    return h.hexdigest()
