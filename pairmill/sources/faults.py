"""What is wrong with a source, and which of its keys says so."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pairmill.errors import RunError

Key = tuple[str, ...]
PATH: Key = ("path",)


@dataclass(frozen=True)
class KeyFault:
    """One sentence, and the key of the source that it is about."""

    what: str
    key: Key = PATH


class NoInput(RunError):
    """A source's path matches nothing, or nothing in it can be read, or a key names what is not
    there.
    """

    def __init__(self, *faults: "str | KeyFault") -> None:
        self.faults = [f if isinstance(f, KeyFault) else KeyFault(f) for f in faults]
        super().__init__("; ".join(fault.what for fault in self.faults))


def near_names(given: str, names: Sequence[str]) -> str:
    """`; did you mean …?` with the names that are like one, whatever their case; empty where none
    is.
    """
    lower: dict[str, str] = {}
    for name in names:
        lower.setdefault(name.lower(), name)
    near = [lower[name] for name in difflib.get_close_matches(given.lower(), lower, 2)]
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
