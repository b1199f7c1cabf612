"""Samples: files that belong together because their names do, in a tar or in a folder."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.members import MAX_TEXT_BYTES, is_text


@dataclass(eq=False)
class Sample:
    """A key and its members by suffix, in small letters; their bytes are read where they are
    wanted.
    """

    key: str
    source: str
    """The input file that it comes from, for people."""
    members: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Suffix → why this member is not read."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is known of it, by name."""
    given: bool = False
    """Whether it was given away, so that no further member comes to it."""
    repeats: bool = False
    """Whether another sample with this key stands before it."""
    damaged: str = ""
    """Why members of it may be missing, so that it is no sound row; empty where none are."""

    def lacks(self, suffix: str) -> bool:
        """Whether no member of this suffix was seen, neither read nor refused."""
        return suffix not in self.members and suffix not in self.refused

    @property
    def count(self) -> int:
        """The number of its members, those that are not read included."""
        return len(self.members) + len(self.refused)

    @property
    def held_bytes(self) -> int:
        """Bytes of the members that are held in memory."""
        return sum(len(m) for m in self.members.values() if isinstance(m, bytes))


class Samples(Protocol):
    """Samples in the order of the input, and what of it is no part of one."""

    name: str
    passed: Counter[str]
    """Why files are no part of a sample, and how many."""

    def __iter__(self) -> Iterator[Sample | Unreadable | Remark]: ...

    def read(self, member: Any) -> bytes:
        """A member's bytes; only while the samples are gone through.

        Raises OSError or EOFError where it is not there or cut.
        """


def refuse_large_texts(sample: Sample) -> None:
    """Takes texts and JSON out that are too large to be what they say."""
    for suffix in [s for s in sample.members if is_text(s)]:
        member = sample.members[suffix]
        size = len(member) if isinstance(member, bytes) else member.size_bytes
        if size > MAX_TEXT_BYTES:
            del sample.members[suffix]
            sample.refused[suffix] = f"it has {size:,} bytes, more than {MAX_TEXT_BYTES:,}"
