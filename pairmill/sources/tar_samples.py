"""Samples of a tar: members whose names agree up to the first dot, whatever their order."""

import lzma
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa

from pairmill.sources.base import Input, Unreadable
from pairmill.sources.samples import Sample
from pairmill.sources.tar import Damage, Member, Passed, TarReader, as_text, printable, uncompressed

WINDOW_BYTES = 2**26
"""Bytes of members that wait for the rest of their sample, where a tar is read as it comes."""
WINDOW_MEMBERS = 1_000_000
"""Members that wait for the rest of their sample; those of a local tar wait as names and places."""
EXPANSION = 100
"""How many times its size a compressed tar may hold, above SMALL."""
SMALL = 2**28
NAME = re.compile(r"((?:.*/)?[^/.]+)\.([^/]*)", re.DOTALL)
META = re.compile(r"__[^/]*__($|[/.])")
CUT = "it is cut"
MAX_SUFFIXES = 1000
"""Kinds of members that are remembered, to tell whether a sample at a damaged place is whole."""
OTHER_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}


class SameKey:
    """The samples of one key, as a rule one."""

    def __init__(self) -> None:
        self.samples: list[Any] = []
        self.given = 0
        """How many of them were given away; None stands in their places."""
        self.without: dict[str, int] = {}
        """Suffix → place before which every sample has such a member."""

    def first_without(self, suffix: str) -> Sample | None:
        """The first sample without such a member; every sample is passed once for each suffix."""
        at = max(self.given, self.without.get(suffix, 0))
        while at < len(self.samples) and not self.samples[at].lacks(suffix):
            at += 1
        self.without[suffix] = at
        return self.samples[at] if at < len(self.samples) else None


class TarSamples:
    """The samples of one tar in the order of their first members.

    A local tar that is not compressed is joined as a whole, by its headers; any other within a
    window.  `most`: after how many samples it stops, for a look.

    A sample beside a damaged place, or where the tar is cut, is `damaged` if it lacks a kind of
    member that other samples have; so is any sample that waits then, where members of samples do
    not stand together.
    """

    def __init__(self, item: Input, most: int | None = None) -> None:
        self.item, self.name, self.most = item, item.name, most
        self.members = self.given = self.begun = 0
        self.passed: Counter[str] = Counter()
        self.open: dict[str, SameKey] = {}
        self.last: Sample | None = None
        self.waiting_members = self.waiting_bytes = 0
        self.suffixes: set[str] = set()
        self.scattered = False
        """Whether a member came to a sample behind members of another."""
        self.broken = ""
        """What is the matter with the tar; empty while it is sound."""
        self.cut = self.behind_damage = False

    def __iter__(self) -> Iterator[Sample | Unreadable]:
        with (
            fsspec.open(self.item.url, "rb") as raw,
            fsspec.open(self.item.url, "rb") as self.again,
        ):
            stream = uncompressed(raw)
            local = stream is raw and self.item.url.startswith("file://")
            limit = self.item.size_bytes * (1 if stream is raw else EXPANSION) + SMALL
            reader = TarReader(stream, self.item.size_bytes if local else None, limit)
            try:
                yield from self.joined(reader)
            except (OSError, EOFError, tarfile.TarError, *DECOMPRESSION_ERRORS) as error:
                yield self.damage(Damage(reader.at, str(error), ends=True))
            while self.open:
                yield self.oldest()
        if self.members != self.given + self.passed.total() and self.most is None:
            yield Unreadable(
                self.item.name, f"{self.members} members were found and {self.given} given"
            )

    def read(self, member: Member | bytes) -> bytes:
        """A member's bytes; only while the samples are gone through."""
        if isinstance(member, bytes):
            return member
        self.again.seek(member.offset)
        data = self.again.read(member.size_bytes)
        if len(data) < member.size_bytes:
            raise EOFError(f"{printable(member.name)} is cut")
        return data

    def joined(self, reader: TarReader) -> Iterator[Sample | Unreadable]:
        """The samples whose turn has come while the tar is read: those begun first, as soon as more
        members or bytes wait than the window holds.
        """
        for entry in reader:
            if isinstance(entry, Damage):
                yield self.damage(entry)
            elif isinstance(entry, Passed):
                if entry.kind != "folder":
                    self.passed[f"{entry.kind}s"] += 1
                    self.members += 1
            else:
                self.members += 1
                self.take(entry, reader)
                while self.waiting_members > WINDOW_MEMBERS or self.waiting_bytes > WINDOW_BYTES:
                    yield self.oldest()
            if self.most is not None and self.begun > self.most:
                return

    def take(self, member: Member, reader: TarReader) -> None:
        """Puts a member to its sample."""
        if reason := not_of_a_sample(member.name):
            self.passed[reason] += 1
            return
        key, suffix = NAME.fullmatch(as_text(member.name).removeprefix("./")).groups()  # type: ignore[union-attr]
        suffix = suffix.lower()
        sample = self.sample_of(key, suffix)
        self.waiting_members += 1
        if len(self.suffixes) < MAX_SUFFIXES:
            self.suffixes.add(suffix)
        if member.refused:
            sample.refused[suffix] = member.refused
        elif reader.size_bytes is not None:
            sample.members[suffix] = member
        else:
            sample.refused[suffix] = CUT  # unless all of it is read
            data = reader.read(member.size_bytes)
            if len(data) == member.size_bytes:
                del sample.refused[suffix]
                sample.members[suffix] = data
                self.waiting_bytes += len(data)

    def sample_of(self, key: str, suffix: str) -> Sample:
        """The sample of the member before, if it is of this key, or the first that has no such
        member, or a new one.
        """
        if key not in self.open:
            self.open[key] = SameKey()
        same = self.open[key]
        last = self.last
        if last is None or last.key != key or last.given or not last.lacks(suffix):
            last = same.first_without(suffix)
        if last is None:
            last = Sample(key, self.name, repeats=bool(same.samples))
            same.samples.append(last)
            self.begun += 1
        elif last is not self.last:
            self.scattered = True
        if self.behind_damage:
            last.damaged, self.behind_damage = self.broken, False
        self.last = last
        return last

    def oldest(self) -> Sample:
        """Takes the sample out that was begun first."""
        key, same = next(iter(self.open.items()))
        sample = same.samples[same.given]
        same.samples[same.given] = None
        same.given += 1
        if same.given == len(same.samples):
            del self.open[key]
        sample.given = True
        sample.damaged = self.damage_of(sample)
        self.waiting_members -= sample.count
        self.waiting_bytes -= sample.held_bytes
        self.given += sample.count
        return sample

    def damage_of(self, sample: Sample) -> str:
        """Why members of a sample may be missing; empty where it has all that others have."""
        damaged = sample.damaged or (self.broken if self.scattered else "")
        refused = {suffix for suffix, reason in sample.refused.items() if reason != CUT}
        whole = self.suffixes <= sample.members.keys() | refused
        compared = self.begun > 1 or not self.cut
        return "" if whole and compared else damaged

    def damage(self, place: Damage) -> Unreadable:
        """The report of a damaged place in the tar, with the sample before it."""
        self.cut = self.cut or place.ends
        self.broken = f"the tar is {'cut' if self.cut else 'damaged'} here"
        self.behind_damage = True
        after = ""
        if self.last is not None:
            after = f", after sample {printable(self.last.key)}"
            self.last.damaged = self.broken
        return Unreadable(
            f"{self.item.name} byte {place.offset}{after}", f"broken tar: {place.reason}"
        )


DECOMPRESSION_ERRORS = (zlib.error, lzma.LZMAError, pa.ArrowException)


def not_of_a_sample(name: str) -> str | None:
    """Why a member belongs to no sample, in words that name its kind; None where it does."""
    base = name.rpartition("/")[2]
    if base.startswith("._") or base in OTHER_SYSTEMS or "__MACOSX/" in name:
        return "files that macOS or Windows adds"
    if META.match(name):
        return "files named __x__, which WebDataset keeps for itself"
    if not NAME.fullmatch(name):
        return "files without a key or without a suffix"
    return None
