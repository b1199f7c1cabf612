"""Packed files as bytes, all that stands before a break in them."""

import bz2
import lzma
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import IO, Any, Protocol

import fsspec
import pyarrow as pa

from pairmill.sources.input_file import Input

PACKED = (".gz", ".zst", ".bz2", ".xz")
PIECE_BYTES = 2**16
"""Packed bytes that are unpacked at once, so that a file that breaks off gives all that stands
before the break.
"""
UNPACKED_BYTES = 8 * 2**20
"""Bytes that one step of unpacking gives at most."""


class BrokenStream(OSError):
    """A packed file that breaks off or is damaged; what stands before it was given."""


class Unpacker(Protocol):
    """What the decompressors of the standard library have in common."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes of what was packed; the next call, without data, goes on."""


class Gzip:
    """zlib's decompressor in the shape of those of bz2 and lzma, which keep what is not yet due."""

    def __init__(self) -> None:
        self.inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        """Whether the end of a gzip member was reached."""
        return self.inner.eof

    @property
    def unused_data(self) -> bytes:
        """Bytes behind that end: the next member, or rubbish."""
        return self.inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes; what is left of `data` is kept for the next call."""
        return self.inner.decompress(self.inner.unconsumed_tail + data, max_length)


UNPACKERS: dict[str, Any] = {
    ".gz": Gzip,
    ".bz2": bz2.BZ2Decompressor,
    ".xz": lzma.LZMADecompressor,
}


def packing_of(name: str) -> str | None:
    """The suffix of a packed file, such as `.gz`, or None."""
    return next((s for s in PACKED if name.lower().endswith(s)), None)


def unpacked(item: Input, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
    """A file's bytes in pieces of at most some MB, unpacked by its suffix.

    `start`: bytes to pass over, `stop`: where to end, of files that are not packed.  Raises
    BrokenStream.
    """
    packing = packing_of(item.name)
    with fsspec.open(item.url, "rb") as raw:
        if packing is None:
            if start:
                raw.seek(start)
            while piece := raw.read(2**20 if stop is None else min(2**20, stop - start)):
                yield piece
                start += len(piece)
        elif packing == ".zst":
            yield from _zstd(item, raw)
        else:
            yield from _streams(item, raw, UNPACKERS[packing])


def _zstd(item: Input, raw: IO[bytes]) -> Iterator[bytes]:
    source = pa.PythonFile(raw, mode="r")
    with closing(pa.CompressedInputStream(source, "zstd")) as stream:
        while True:
            try:
                piece = stream.read(PIECE_BYTES)
            except OSError as error:
                raise BrokenStream(f"{item.name} is damaged or breaks off: {error}") from None
            if not piece:
                return
            yield piece


def _streams(item: Input, raw: IO[bytes], kind: type[Unpacker]) -> Iterator[bytes]:
    """One packed stream after the other, as `cat a.gz b.gz` gives them."""
    inner = kind()
    data, begun, beginning = raw.read(PIECE_BYTES), False, True
    try:
        while data or begun:
            out = inner.decompress(data, UNPACKED_BYTES)
            begun, beginning = True, False
            if out:
                yield out
            if inner.eof:
                data = inner.unused_data.lstrip(b"\0") or raw.read(PIECE_BYTES)
                inner, begun = kind(), False
                continue
            if len(out) < UNPACKED_BYTES:
                data = raw.read(PIECE_BYTES)
                if not data:
                    break
            else:
                data = b""  # more of what was given is due
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BrokenStream(f"{item.name} is damaged: {error}") from None
    if begun or (beginning and item.size_bytes):
        raise BrokenStream(f"{item.name} breaks off: its packed stream has no end")
