"""Which parts of a source are read together: a task of one process."""

from collections.abc import Sequence

from pairmill.sources.base import Unit
from pairmill.workspace.reading import TASK_BYTES, TASK_UNITS, Hands, Place, Reading, pieces

SMALL_BYTES = 256 * 2**10
"""Files up to this size are read together where one process reads."""
FILE_BYTES = 32 * 2**10
"""What a file takes at least, whatever its size, in bytes that are read in the same time."""
ROW_BYTES = 100
"""The same of a row: in a packed file it may have less than twenty."""


def tasks_of(ahead: Sequence[tuple[int, Unit]], hands: Hands) -> list[Reading] | None:
    """Units in tasks, small ones together, large ones left out; None where there is little to
    read.
    """
    wanted = [(at, unit) for at, unit in ahead if unit.items and not unit.at_hand]
    if sum(max(work_of(unit), FILE_BYTES) for _, unit in wanted) < max(hands.worth_bytes, 1):
        return None
    kept = [(a, u) for a, u in wanted if size_of(u) <= len(pieces(u)) * hands.piece_bytes]
    return grouped(kept, hands.task_bytes)


def grouped(units: Sequence[tuple[int, Unit]], task_bytes: int = TASK_BYTES) -> list[Reading]:
    """Pieces of units, in order, in tasks of some bytes or files."""
    found: list[Reading] = []
    places: list[Place] = []
    name, size = "", 0
    for at, unit in units:
        count = len(pieces(unit))
        for part in range(count):
            name = name if places else unit.items[0].name
            places.append((at, part))
            size += work_of(unit) // count
            if size >= task_bytes or len(places) >= TASK_UNITS:
                found.append(Reading(len(found), tuple(places), name))
                places, size = [], 0
    if places:
        found.append(Reading(len(found), tuple(places), name))
    return found


def work_of(unit: Unit) -> int:
    """What a unit's reading takes, as bytes of a table of text."""
    return max(size_of(unit), ROW_BYTES * unit.rows)


def size_of(unit: Unit) -> int:
    """Bytes of a unit's files."""
    return sum(item.size_bytes for item in unit.items)
