"""Samples of a folder: an image and the files beside it that share its name."""

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec
import pyarrow.parquet as pq

from pairmill.sources.base import Input, Remark, Unreadable
from pairmill.sources.json_columns import parsed
from pairmill.sources.members import IMAGES, NOT_THE_IMAGE, TEXTS, as_number, words_of
from pairmill.sources.samples import Sample
from pairmill.sources.tar import MAX_MEMBER_BYTES

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
        self.told: list[Unreadable | Remark] = []
        self.samples = self.joined([f for f in files if base_of(f.name) not in METADATA])
        self.has_metadata = self.with_metadata([f for f in files if base_of(f.name) in METADATA])
        self.classes = self.with_classes()

    def __iter__(self) -> Iterator[Sample | Unreadable | Remark]:
        yield from self.told
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
        told: set[str] = set()
        for file in files:
            folder = posixpath.dirname(file.name)
            for number, row in enumerate(metadata_rows(file)):
                place = f"{file.name} row {number}"
                if isinstance(row, str):
                    self.told.append(Unreadable(place, row))
                    continue
                named = row.pop(FILE_NAME, None)
                path = posixpath.normpath(posixpath.join(folder, str(named)))
                if named is None or path not in by_path:
                    what = f"there is no image {named}" if named else f"no {FILE_NAME}"
                    self.told.append(Unreadable(place, what))
                    continue
                told.add(path)
                by_path[path].facts |= row
        if files and (untold := len(by_path) - len(told)):
            what = "rows all the same, with nulls"
            self.told.append(Remark("images without metadata", self.name, what, untold))
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


def metadata_rows(file: Input) -> Iterator[dict[str, Any] | str]:
    """The rows of a metadata file; one that cannot be read as the reason why."""
    with fsspec.open(file.url, "rb") as stream:
        if file.name.endswith(".parquet"):
            for batch in pq.ParquetFile(stream).iter_batches():
                yield from batch.to_pylist()
        elif file.name.endswith(".csv"):
            text = io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="")
            for values in csv.DictReader(text):
                if None in values or None in values.values():
                    yield "its number of fields is not the header's"
                else:
                    yield {name: as_value(value) for name, value in values.items()}
        else:
            for line in stream:
                if line.strip():
                    yield json_row(line)


def json_row(line: bytes) -> dict[str, Any] | str:
    """A line of a metadata file as its object, or why it is none."""
    try:
        row, _ = parsed(line)
    except ValueError as error:
        return f"no JSON object: {error}"
    return row if isinstance(row, dict) else f"no JSON object: a {type(row).__name__}"


def as_value(text: str) -> Any:
    """A CSV's value: null where it is empty, a number where that says the same."""
    number = as_number(text)
    if not text or isinstance(number, int):
        return number if text else None
    try:
        return float(text) if repr(float(text)) == text else text
    except ValueError:
        return text


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
