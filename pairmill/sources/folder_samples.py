"""Samples of a folder: an image and the files beside it that share its name."""

import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec
import pyarrow as pa

from pairmill.sources.base import Input, NoInput, Remark, Unreadable
from pairmill.sources.json_columns import parsed
from pairmill.sources.members import IMAGES, NOT_THE_IMAGE, TEXTS, as_number, words_of
from pairmill.sources.parquet_files import first_line, parquet_rows
from pairmill.sources.rows import Rows
from pairmill.sources.samples import Sample
from pairmill.sources.table_config import PairsConfig
from pairmill.sources.tar import MAX_MEMBER_BYTES
from pairmill.sources.text_profile import profile_of

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Files in which Hugging Face's imagefolder tells more about the images below their folder."""
FILE_NAME = "file_name"
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
BESIDE = {*TEXTS, "json", "cls"}


class FolderSamples:
    """The images below one path, in the order of their names."""

    def __init__(self, files: Sequence[Input], name: str) -> None:
        self.name = name
        self.passed: Counter[str] = Counter()
        self.remarks: list[Unreadable | Remark] = []
        self.samples = self.joined([f for f in files if base_of(f.name) not in METADATA])
        self.has_metadata = self.with_metadata([f for f in files if base_of(f.name) in METADATA])
        self.classes = self.with_classes()

    def __iter__(self) -> Iterator[Sample | Unreadable | Remark]:
        yield from self.remarks
        yield from self.samples

    def read(self, member: Input) -> bytes:
        """The bytes of a member; raises EOFError for one that is too large, OSError where it is
        gone.
        """
        if member.size_bytes > MAX_MEMBER_BYTES:
            raise EOFError(f"{member.name} has {member.size_bytes:,} bytes; too many for an image")
        with fsspec.open(member.url, "rb") as stream:
            return stream.read()

    def joined(self, files: Sequence[Input]) -> list[Sample]:
        """Files by the name that they share up to their last dot; masks go to their image."""
        images = {stem_of(f.name) for f in files if suffix_of(f.name) in IMAGES}
        samples: dict[str, Sample] = {}
        for file in files:
            key, suffix = stem_of(file.name), suffix_of(file.name)
            shorter, further = stem_of(key), suffix_of(key)
            about = words_of(f"{further}.") & {*NOT_THE_IMAGE, *BESIDE, "syn"}
            if shorter in images and (key not in images or about):
                key, suffix = shorter, f"{further}.{suffix}"
            if key not in images:
                self.passed["files without an image of their name"] += 1
                continue
            sample = samples.setdefault(key, Sample(key, file.name))
            if not sample.lacks(suffix):  # a.JPG and a.jpg
                key = f"{file.name} "
                sample = samples.setdefault(key, Sample(file.name, file.name, repeats=True))
            sample.members[suffix] = file
            if suffix in IMAGES:
                sample.source = file.name
        return list(samples.values())

    def with_metadata(self, files: Sequence[Input]) -> bool:
        """Puts the rows of metadata files to their images; whether there are any."""
        by_path = {
            file.name: sample
            for sample in self.samples
            for suffix, file in sample.members.items()
            if suffix in IMAGES
        }
        described: set[str] = set()
        for file in files:
            folder = posixpath.dirname(file.name)
            for number, row in enumerate(metadata_rows(file)):
                place = f"{file.name} row {number}"
                if isinstance(row, Unreadable):
                    self.remarks.append(row)
                    continue
                if isinstance(row, str):
                    self.remarks.append(Unreadable(place, row))
                    continue
                named = row.pop(FILE_NAME, None)
                path = posixpath.normpath(posixpath.join(folder, str(named)))
                if named is None or path not in by_path:
                    what = f"there is no image {named}" if named else f"no {FILE_NAME}"
                    self.remarks.append(Unreadable(place, what))
                    continue
                if path in described:
                    what = f"{path} was described before; of one key the later value counts"
                    self.remarks.append(Remark("images described twice", place, what))
                described.add(path)
                by_path[path].facts |= row
        if files and (undescribed := len(by_path) - len(described)):
            what = "rows all the same, with nulls"
            self.remarks.append(Remark("images without metadata", self.name, what, undescribed))
        return bool(files)

    def with_classes(self) -> bool:
        """Whether the folders are classes: then an image's is its `label`.

        So it is where images lie in two folders or more and nothing else tells about them.
        """
        folders = {posixpath.dirname(s.key) for s in self.samples}
        names = {posixpath.basename(f) for f in folders} - SPLITS
        more = self.has_metadata or any({*s.members} & BESIDE for s in self.samples)
        if more or len(names) < 2 or "" in folders:
            classes = False
        else:
            classes = len({f.count("/") for f in folders}) == 1
        for sample in self.samples:
            folder = posixpath.dirname(sample.key)
            if classes:
                sample.facts["label"] = posixpath.basename(folder)
            if (split := folder.split("/")[0]) in SPLITS:
                sample.facts.setdefault("split", split)
        return classes


def metadata_rows(file: Input) -> Iterator[dict[str, Any] | str | Unreadable]:
    """The rows of a metadata file; one that cannot be read as the reason why.

    Raises NoInput where the file is not written as it is read.
    """
    if file.name.endswith(".parquet"):
        yield from parquet_metadata(file)
    elif file.name.endswith(".csv"):
        yield from csv_metadata(file)
    else:
        with fsspec.open(file.url, "rb") as stream:
            for line in stream:
                if line.strip():
                    yield json_row(line)


def csv_metadata(file: Input) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows of a metadata.csv, read as tables are; raises NoInput."""
    profile = profile_of(file, "csv", PairsConfig(path=file.url), whole=True)
    if first := next(iter(profile.problems), profile.mostly_bad):
        what = re.split("(?:;|:) (?:say|give) ", first)[0]  # those keys a folder has not
        raise NoInput(f"{what}; write it with commas and a header, as Hugging Face's imagefolder")
    if profile.damage and not profile.parts:
        yield Unreadable(file.name, profile.damage)
    for part in profile.parts or ():
        if isinstance(part, Unreadable):
            yield part
        elif isinstance(part, Rows):
            for row in part.table.to_pylist():
                yield {name: as_value(value) for name, value in row.items()}


def parquet_metadata(file: Input) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows of a metadata.parquet; dates, times and decimals are text, as in JSON."""
    try:
        for part in parquet_rows(file):
            if isinstance(part, Unreadable):
                yield part
            elif isinstance(part, Rows):
                for row in part.table.to_pylist():
                    yield {name: plain_value(value) for name, value in row.items()}
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        yield Unreadable(file.name, f"the file is damaged: {first_line(error)}")


def plain_value(value: Any) -> Any:
    """A value as JSON has it; bytes by themselves stay."""
    if isinstance(value, list | tuple):
        return [plain_value(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain_value(v) for k, v in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    plain = value is None or isinstance(value, bool | int | float | str | bytes)
    return value if plain else str(value)


def json_row(line: bytes) -> dict[str, Any] | str:
    """A line of a metadata file as its object, or why it is none."""
    try:
        row, _ = parsed(line)
    except ValueError as error:
        return f"no JSON object: {error}"
    return row if isinstance(row, dict) else f"no JSON object: a {type(row).__name__}"


def as_value(text: str | None) -> Any:
    """A CSV's value: a number where that says the same, else as it stands."""
    number = as_number(text) if text else text
    if not isinstance(number, str) or not number:
        return number
    try:
        says_the_same = math.isfinite(float(number)) and repr(float(number)) == number
    except ValueError:
        return number
    return float(number) if says_the_same else number


def base_of(name: str) -> str:
    """A file's name without its folders."""
    return posixpath.basename(name)


def stem_of(name: str) -> str:
    """A path without its last suffix."""
    return posixpath.splitext(name)[0]


def suffix_of(name: str) -> str:
    """The last suffix of a file's name, in small letters and without the dot; empty where it has
    none.
    """
    return posixpath.splitext(name)[1].lstrip(".").lower()
