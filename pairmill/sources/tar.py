"""Members of a tar, in the order of the file, whatever stands between them.

The standard library's reader reads a header of any length into memory and ends without a word at
the first damaged one; this one has limits, names the damage and goes on at the next sound header.
"""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER_BYTES = 2**20
"""Bytes of a long name or of a member's further facts (pax): a hundred times the longest path."""
MAX_MEMBER_BYTES = 2**30
"""Bytes of one member that are read into memory: a thousand times a large picture."""
MAX_ZEROS = 2**26
"""Bytes of zeros behind a tar's end mark within which a further tar is looked for."""
MAX_PROMISED = 2**40
"""Bytes that a header may promise where the size of the tar is not known."""
CHUNK = 2**20
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)
SPARSE = "GNU.sparse."
ABOUT_THE_NEXT = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
"""Headers that tell more about the entry behind them."""
WITHOUT_BYTES = {
    tarfile.LNKTYPE: "link",
    tarfile.SYMTYPE: "link",
    tarfile.DIRTYPE: "folder",
    tarfile.FIFOTYPE: "device",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar: its name, where its bytes begin and how many there are."""

    name: str
    offset: int
    size_bytes: int
    refused: str = ""
    """Why its bytes are not read, or nothing."""


@dataclass(frozen=True)
class Damage:
    """A place of a tar that cannot be read, and what is the matter with it."""

    offset: int
    reason: str
    ends: bool = False
    """Whether nothing behind it can be read."""


@dataclass(frozen=True)
class Passed:
    """Something in a tar that is no file: a link, a device."""

    name: str
    kind: str


class TarReader:
    """Reads a tar from beginning to end.

    `size_bytes`: of the tar, where `stream` can seek; None where it is read as it comes.
    `limit_bytes`: what an uncompressed stream may hold at most.
    """

    def __init__(self, stream: BinaryIO | Any, size_bytes: int | None, limit_bytes: int) -> None:
        self.stream, self.size_bytes, self.limit_bytes = stream, size_bytes, limit_bytes
        self.at = 0
        self.ended = False

    def __iter__(self) -> Iterator[Member | Damage | Passed]:
        """While a Member is given, `read` gives its bytes; those not read are passed over."""
        name: str = ""
        facts: dict[str, str] = {}
        while not self.ended and (block := self.next_header()) is not None:
            if isinstance(block, Damage):
                yield block
                return
            info = parsed(block)
            if info is not None and info.type in ABOUT_THE_NEXT:
                if 0 <= info.size <= MAX_HEADER_BYTES:
                    data = self.read(padded(info.size))[: info.size]
                    if info.type == tarfile.GNUTYPE_LONGNAME:
                        name = as_name(data.rstrip(b"\0"))
                    elif info.type != tarfile.GNUTYPE_LONGLINK and info.type != tarfile.XGLTYPE:
                        facts = pax_facts(data)
                    continue
                info = None
            if info is not None and block[156:157] == tarfile.GNUTYPE_SPARSE:
                self.skip_sparse_maps(extended=bool(block[482]))
            yield from self.entry(info, name, facts)
            name, facts = "", {}

    def entry(
        self, info: tarfile.TarInfo | None, name: str, facts: dict[str, str]
    ) -> Iterator[Member | Damage | Passed]:
        """A header that stands for itself (None: a damaged one), and all of its bytes."""
        offset = self.at
        if info is None:
            yield self.resumed(offset, "a damaged header")
            return
        sparse = info.type == tarfile.GNUTYPE_SPARSE or any(f.startswith(SPARSE) for f in facts)
        name = facts.get(SPARSE + "name") or facts.get("path") or name or info.name
        size = int(facts["size"]) if facts.get("size", "").isdecimal() else info.size
        if info.type in WITHOUT_BYTES:
            yield Passed(name, WITHOUT_BYTES[info.type])
            return
        if not self.holds(size):
            promised = f"{printable(name)} says it has {size:,} bytes, more than the file"
            yield self.resumed(offset, promised)
            return
        if info.type not in FILES and not sparse:
            yield Passed(name, "entry of unknown type")
        else:
            large = size > MAX_MEMBER_BYTES
            refused = f"it has {size:,} bytes, more than {MAX_MEMBER_BYTES:,}" if large else ""
            yield Member(name, offset, size, "it is a sparse file" if sparse else refused)
        if (missing := self.skip(offset + padded(size) - self.at)) > padded(size) - size:
            self.ended = True
            reason = f"{printable(name)} is cut: {missing:,} bytes are missing"
            yield Damage(offset, reason, ends=True)

    def next_header(self) -> bytes | Damage | None:
        """The next block that is not empty; None at a tar's end, Damage where it has no end mark.

        Behind the end mark a further tar may follow, as `cat a.tar b.tar` makes it.
        """
        zeros = 0
        while zeros <= MAX_ZEROS:
            block = self.read(BLOCK)
            if block.strip(b"\0") and len(block) == BLOCK:
                return block
            if len(block) < BLOCK:
                reason = "it has no end mark; its rest is missing"
                return None if zeros else Damage(self.at, reason, ends=True)
            zeros += BLOCK
        return None

    def resumed(self, offset: int, reason: str) -> Damage:
        """Looks for the next sound header behind `offset`, and says what was lost."""
        if self.size_bytes is not None:
            self.stream.seek(offset)
        self.at = offset
        while True:
            block = self.read(BLOCK)
            if len(block) < BLOCK:
                self.ended = True
                return Damage(offset, f"{reason}; what follows it cannot be read", ends=True)
            if block[257:262] == b"ustar" and (info := parsed(block)) and self.holds(info.size):
                self.back(block)
                return Damage(offset, f"{reason}; {self.at - offset:,} bytes were passed over")

    def holds(self, size: int) -> bool:
        """Whether that many bytes can follow."""
        return 0 <= size <= (MAX_PROMISED if self.size_bytes is None else self.size_bytes - self.at)

    def skip_sparse_maps(self, extended: bool) -> None:
        """Passes the blocks of an old GNU sparse header that go on behind it."""
        while extended:
            block = self.read(BLOCK)
            extended = len(block) == BLOCK and bool(block[504])

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the file's end."""
        parts = []
        while count > 0 and (part := self.stream.read(min(count, CHUNK))):
            parts.append(part)
            count -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.at += len(data)
        if self.at > self.limit_bytes:
            raise tarfile.ReadError(
                f"it expands to more than {self.limit_bytes:,} bytes; unpack it, if that is right"
            )
        return data

    def skip(self, count: int) -> int:
        """Passes over `count` bytes; gives how many of them are missing."""
        if self.size_bytes is not None:
            missing = max(0, self.at + count - self.size_bytes)
            self.at += count - missing
            self.stream.seek(self.at)
            return missing
        while count > 0 and (part := self.read(min(count, CHUNK))):
            count -= len(part)
        return count

    def back(self, block: bytes) -> None:
        """Lets `block`, which was just read, be read again."""
        self.at -= len(block)
        if self.size_bytes is not None:
            self.stream.seek(self.at)
        else:
            self.stream = Again(block, self.stream)


class Again:
    """A stream that begins with bytes that were read before."""

    def __init__(self, data: bytes, stream: Any) -> None:
        self.data, self.stream = data, stream

    def read(self, count: int) -> bytes:
        """At most `count` bytes: of those read before, and behind them of the stream."""
        if not self.data:
            return self.stream.read(count)
        given, self.data = self.data[:count], self.data[count:]
        return given


def parsed(block: bytes) -> tarfile.TarInfo | None:
    """A header; None where it is damaged."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None


def as_text(name: str) -> str:
    """A name with U+FFFD for bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def printable(name: str) -> str:
    """The end of a name, for messages; nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in as_text(name)[-200:])


def padded(size: int) -> int:
    """A size in bytes, rounded up to whole blocks of a tar."""
    return -(-size // BLOCK) * BLOCK


def as_name(data: bytes) -> str:
    """A member's name; bytes that are no UTF-8 stay in it as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def pax_facts(data: bytes) -> dict[str, str]:
    """The records `length key=value` of a pax header, as far as they are sound."""
    facts = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not len(length) < int(length[:9]) <= len(data):
            break
        record = data[len(length) + 1 : int(length)]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        facts[as_name(key)] = as_name(value)
        data = data[int(length) :]
    return facts


def uncompressed(stream: BinaryIO) -> BinaryIO | Any:
    """The stream, or what it holds where its first bytes say that it is compressed."""
    head = stream.read(6)
    stream.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(stream)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")
    return stream
