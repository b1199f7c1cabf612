"""A first pipeline file for an input: how it is read, and a plain recipe that can be run as it
is.
"""

import codecs
import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pairmill.errors import RunError
from pairmill.plan.proposed_columns import NO_ROW, NOTHING, NoProposal, by_values
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Source
from pairmill.sources.catalogue import SOURCES, open_source
from pairmill.sources.disguised import HEAD_BYTES
from pairmill.sources.folder_samples import METADATA
from pairmill.sources.text_files import beginning
from pairmill.sources.text_stream import format_of
from pairmill.workspace.written_before import is_workspace

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
TABLES = (".json", ".jsonl", ".csv", ".tsv", ".parquet")
LISTS = (".txt", ".token", ".lst", ".list")
UNKNOWN = ": unknown format"
WHAT_IT_IS = (": the file is empty", f"{NO_ROW}: ", ": it is an ", ": it is a ")
"""In reasons that leave no other to be told, the first of them first."""
SINGLE_BYTE = ("cp1252", "latin-1")
"""Encodings in which any bytes, or nearly any, are some text."""
WORD = re.compile(r"[^\W\d_]+")
LONGEST = 300
"""Characters of a reason that are shown."""


@dataclass(frozen=True)
class Proposal:
    """A source that reads the input: its keys, the columns it gives, what was taken for what."""

    keys: dict[str, Any]
    columns: tuple[str, ...]
    mapping: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def images(self) -> bool:
        """Whether the rows bring their images along."""
        return "image" in self.columns


def propose(path: str) -> Proposal:
    """Tries the ways in which the input may be read, the plainest first; raises NoProposal."""
    if path.lower().endswith(IMAGE_SUFFIXES) and os.path.isfile(path):
        folder = os.path.dirname(path) or "."
        raise NoProposal(f"{path} is one picture; give the folder that it lies in: {folder}")
    if path == "-" or (os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))):
        raise NoProposal(f"{path} can be read once alone; write it to a file, and give its name")
    tried: dict[str, str] = {}
    for keys in ways(path):
        try:
            return looked_at(keys)
        except (RunError, OSError, ValueError) as error:
            way = ", ".join(f"{k}: {v!r}" for k, v in keys.items() if k != "path")
            reason = str(error)
            if reason not in tried.values():
                tried[way] = reason if len(reason) <= LONGEST else f"{reason[:LONGEST]}…"
    tried = telling(tried)
    reasons = "\n".join(f"  {way}: {reason}" for way, reason in list(tried.items())[:3])
    alone = next(iter(tried.values())) if len(tried) == 1 else None
    raise NoProposal(
        f"{path} cannot be read as image–text pairs" + (f": {alone}" if alone else f"\n{reasons}")
    )


def telling(tried: dict[str, str]) -> dict[str, str]:
    """Of ways and why they failed, those that say most: that the input is empty, or another thing
    than its name says; else those that read it and found nothing of use.
    """
    for sign in (UNKNOWN, *WHAT_IT_IS):
        for way, reason in tried.items():
            if sign in reason and "encoding" not in way:  # in another one, any name may come out
                return {way: reason}
    return {w: r for w, r in tried.items() if r.startswith(NOTHING)} or tried


def ways(path: str) -> Iterator[dict[str, Any]]:
    """Keys of `source:` to try, but for `path`."""
    names = [path.lower()]
    if os.path.isdir(path):
        names = [name.lower() for _, _, files in os.walk(path) for name in files]
    if "manifest.json" in names:
        yield {"type": "package", "path": path}
    if any(".tar" in name for name in names):
        yield {"type": "webdataset", "path": path}
    for kind in ("parquet", "arrow"):
        if any(format_of(name) == kind for name in names):
            yield {"type": kind, "path": path}
            yield {"type": kind, "path": path, "captions": "first"}
    if os.path.isdir(path) and any(name.endswith(IMAGE_SUFFIXES) for name in names):
        yield {"type": "folder", "path": path}
    table = {"type": "pairs", "path": path}
    yield table
    yield {**table, "captions": "first"}
    for form in ("json", "jsonl", "parquet"):
        if not any(name.endswith(f".{form}") for name in names) or form == "json":
            yield {**table, "format": form}
    if is_plain_text(path):  # such as a line for each address, as img2dataset takes it
        for form in ("tsv", "csv"):
            yield {**table, "format": form, "header": False}
            yield {**table, "format": form}
    if any(kind in name for name in names for kind in (".csv", ".tsv", ".tab")):
        for delimiter in (";", "\t", ",", "|"):
            yield {**table, "delimiter": delimiter}
        if names := unlike_names(path):
            yield {**table, "names": names, "header": True}
        yield {**table, "header": False}
        yield {**table, "header": False, "delimiter": "\t"}
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"):
            yield {**table, "encoding": encoding}


def is_plain_text(path: str) -> bool:
    """Whether the input is a text file whose name tells no format."""
    if not os.path.isfile(path) or format_of(path) is not None:
        return False
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def unlike_names(path: str) -> list[str]:
    """The names in the first line of a table, with a number behind those that stood there before;
    none where all differ, or the path is that of no file here.
    """
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        line = stream.readline(10_000)
    header = next(csv.reader([line], delimiter=max(",;\t|", key=line.count)), [])
    names: list[str] = []
    for i, name in enumerate(header):
        again = f"{name}_{header[: i + 1].count(name)}"
        names.append(name if name not in names else again)
    return names if names != header else []


def looked_at(keys: dict[str, Any]) -> Proposal:
    """The proposal for one way of reading; raises RunError where it gives no address or image."""
    source = opened(keys)
    more, notes = by_values(source, str(keys["path"]))
    if more:
        keys = {**keys, **more}
        source = opened(keys)
    names = source.schema().names
    not_read = [*left_out(source), *beside_pictures(keys), *letters(source)]
    return Proposal(keys, tuple(names), [*source.mapping(), *notes], not_read)


def letters(source: Source) -> list[str]:
    """What texts look like in an encoding that only a person can confirm."""
    encoding = getattr(source.config, "encoding", "utf-8")
    if encoding not in SINGLE_BYTE:
        return []
    for item in source.inputs():
        block = beginning(item, source.config)
        text = block.data.decode("utf-8", "ignore") if block else ""
        if words := list(dict.fromkeys(w for w in WORD.findall(text) if not w.isascii()))[:3]:
            return [
                f"{item.name} is no UTF-8 and is read as {encoding}, in which it has words such as "
                f"{', '.join(words)}; if these look wrong, name another `encoding:`, such as "
                "cp1251, shift_jis, gb18030"
            ]
    return []


def beside_pictures(keys: dict[str, Any]) -> list[str]:
    """A table in a folder of pictures, such as COCO's captions, which describes them more likely
    than not.
    """
    folder = str(keys["path"])
    if keys["type"] != "folder" or not os.path.isdir(folder):
        return []
    names = [os.path.join(at, name) for at, _, files in os.walk(folder) for name in files]
    pictures = {os.path.splitext(n)[0] for n in names if n.lower().endswith(IMAGE_SUFFIXES)}
    tables = [n for n in sorted(names) if n.lower().endswith(TABLES)]
    tables = [n for n in tables if os.path.splitext(n)[0] not in pictures]
    tables = [n for n in tables if os.path.basename(n) not in METADATA]  # read with the folder
    tables += [n for n in sorted(names) if n.endswith(LISTS) and names_any(n, pictures)]
    return [f"if {n} describes the pictures: pairmill init --from {n}" for n in tables[:3]]


def names_any(table: str, pictures: set[str]) -> bool:
    """Whether the beginning of a text file names a picture that is not its own."""
    if os.path.splitext(table)[0] in pictures:
        return False
    with open(table, encoding="utf-8", errors="replace") as stream:
        head = stream.read(HEAD_BYTES)
    return any(f"{os.path.basename(name)}." in head for name in pictures)


def left_out(source: Source) -> list[str]:
    """Files of the input that the source does not read, with why, the first few by name."""
    left = source.listing().skipped
    shown = ", ".join(f"{name} ({why})" for name, why in left[:3])
    more = f", … ({len(left):,} in all)" if len(left) > 3 else ""
    return [f"not read: {shown}{more}"] if left else []


def opened(keys: dict[str, Any]) -> Source:
    """The source of some keys; raises ValidationError where they do not fit its type."""
    config: SourceConfig = SOURCES[keys["type"]].model_validate(keys)
    source = open_source(config)
    source.leave_out((), is_workspace)
    return source
