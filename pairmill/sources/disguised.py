"""What a file is by its first bytes, where that is another thing than its name says."""

import json
from contextlib import closing

import fsspec

from pairmill.sources.input_file import Input
from pairmill.sources.unpacking import packing_of, unpacked

HEAD_BYTES = 2**13
PACKED = "; name it so, such as `.gz`, or unpack it"
SIGNS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file: `git lfs pull` fetches it"),
    (b"PAR1\x15", "Parquet; say `format: parquet`, or name it .parquet"),
    (b"PARE", "Parquet whose footer is encrypted, which is not read; decrypt it"),
    (b"ARROW1\x00\x00", "an Arrow file; say `format: arrow`, or name it .arrow"),
    (b"FEA1", "Feather of version 1; write it anew with `pyarrow.feather.write_feather`"),
    (b"PK\x03\x04", "a zip archive (or .xlsx, .npz); unpack it, or save the sheet as CSV"),
    (b"\x1f\x8b\x08", "packed with gzip" + PACKED),
    (b"\x28\xb5\x2f\xfd", "packed with zstd" + PACKED),
    (b"\xfd7zXZ\x00", "packed with xz" + PACKED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (b"SQLite format 3\x00", "an SQLite database; write the table out as CSV or Parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook; save its sheet as CSV"),
    (b"WARC/", "a crawl's WARC; write image addresses and alt texts out of it as a table"),
    (b"\x93NUMPY", "a NumPy array; write it out as Parquet"),
    *(
        (bytes([0x80, version]), "a Python pickle, which is never read; write it out as Parquet")
        for version in range(2, 6)
    ),
    (b"\x89HDF\r\n", "HDF5; write the table out as Parquet"),
    (b"Obj\x01", "Avro; write it out as Parquet"),
    (b"%PDF-", "a PDF"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n", "a PNG picture"),
)
"""How files of another format begin."""
TEXTS = ("csv", "tsv", "jsonl", "json", "unknown")


def disguise(item: Input, kind: str, encoding: str = "utf-8") -> str | None:
    """What a file is instead of `kind` and what to do, or None where nothing speaks against it, or
    it cannot be read at all: a folder, or gone by now.
    """
    try:
        with fsspec.open(item.url, "rb") as stream:
            head = stream.read(HEAD_BYTES)
        if packing_of(item.name) and not head.startswith(SIGNS[0][0]):
            with closing(unpacked(item)) as pieces:
                head = next(pieces, b"")[:HEAD_BYTES]
    except OSError:
        return None
    if item.name.lower().endswith(".tgz"):
        return None
    for sign, words in SIGNS:
        if head.startswith(sign) and kind not in words.lower()[:20]:
            twice = words.endswith(PACKED) and packing_of(item.name)
            return "it is packed twice; unpack it once" if twice else f"it is {words}"
    if kind not in TEXTS:
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:15].lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "it is a web page or XML; was it fetched from the right address?"
    if encoding in ("utf-8", "ascii", "latin-1") and (wide := wide_letters(head)):
        return f"it seems to be UTF-16 without a byte order mark; say `encoding: {wide}`"
    if kind == "jsonl" and start[:1] == b"[" and not is_json(first_line(start)):
        return "it is one JSON array and no lines of objects; say `format: json`"
    if kind in ("csv", "tsv") and start[:1] == b"{" and is_json(first_line(start)):
        return "its lines are JSON; say `format: jsonl`, or name it .jsonl"
    return None


def wide_letters(head: bytes) -> str | None:
    """The UTF-16 that text without a byte order mark is in, as its many zero bytes tell."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    pairs = len(head) // 2
    even, odd = head[0::2], head[1::2]
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if pairs > 4 and zeros.count(0) > 0.3 * pairs and others.count(0) < 0.05 * pairs:
            return name
    return None


def first_line(data: bytes) -> bytes:
    """The bytes up to the first line end; all where there is none."""
    return data.split(b"\n", 1)[0].strip()


def is_json(line: bytes) -> bool:
    """Whether a line is a JSON value by itself."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
