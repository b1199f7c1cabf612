"""A package's manifest as it is read back: a package may come from a stranger."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pairmill.errors import StrangeFile
from pairmill.fates.ledger import funnel_faults
from pairmill.outputs.chosen import chosen, lacking
from pairmill.redaction import shown
from pairmill.workspace.storage import Storage

__all__ = [
    "MANIFEST", "checked_file", "chosen", "lacking", "read_manifest", "replaced", "strange"
]  # fmt: skip

MANIFEST = "manifest.json"
KINDS: dict[str, Any] = {
    "name": str,
    "package": str,
    "format": str,
    "pipeline": str,
    "samples": int,
    "shards": int,
    "funnel": dict,
    "selection": dict,
    "identities": dict,
    "models": dict,
    "versions": dict,
    "files": list,
    "parts": list,
}
"""What a manifest's keys hold, where they are there."""


class TypedFacts(BaseModel):
    """Facts of known types; others beside them are let be."""

    model_config = ConfigDict(strict=True)


class GroupShare(TypedFacts):
    """What a mixture was to have of a group, and has."""

    requested: float
    achieved: float


class MixtureFacts(TypedFacts):
    """How often samples were written, and what came of it."""

    repeats: str
    groups: dict[str, GroupShare]


class SelectionFacts(TypedFacts):
    """Which rows of a run a package holds."""

    after: str | None
    where: str | None
    order: list[str]
    rows: int
    left_out: int
    left_out_null: int
    mixture: MixtureFacts | None = None


class PartFacts(TypedFacts):
    """An output shard: files by name alone.  `made_of` is not in packages of earlier versions."""

    shard: int
    samples: int
    files: list[str]
    made_of: str = ""
    told: dict[str, int] = {}
    facts: dict[str, Any] = {}


class SpokenFacts(TypedFacts):
    """What of a manifest is told to people, or decides which of its files are kept."""

    selection: SelectionFacts | None = None
    told: dict[str, int] = {}
    left_out: list[str] = []
    parts: list[PartFacts] = []


def read_manifest(storage: Storage, needed: Sequence[str] = ("name", "files")) -> dict[str, Any]:
    """The manifest of a package that has one.

    Raises StrangeFile where a needed key is missing or a known one holds something else, and
    StrangeName where it lists a file that is not below the package's folder.
    """
    found = storage.read_json(MANIFEST)
    if not isinstance(found, dict):
        raise strange(storage, f"it holds {shown(found, 60)}, and no map")
    for key, kind in KINDS.items():
        if key in found and not (isinstance(found[key], kind) and found[key] is not True):
            raise strange(storage, f"its {key!r} is {shown(found[key], 60)}")
    try:
        SpokenFacts.model_validate(found)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise strange(storage, f"its {where!r} is {shown(fault['input'], 60)}") from None
    if "funnel" in found and (faults := funnel_faults(found["funnel"])):
        raise strange(storage, faults[0])
    if missing := [key for key in needed if key not in found]:
        raise strange(storage, f"it has no {missing[0]!r}")
    for file in found.get("files", ()):
        checked_file(storage, file, MANIFEST)
    names = {file["name"] for file in found.get("files", ())}
    for part in found.get("parts", ()):
        if not names.issuperset(part["files"]):
            raise strange(storage, f"one of its 'parts' is {shown(part, 60)}")
    return found


def checked_file(storage: Storage, file: Any, where: str) -> dict[str, Any]:
    """What a manifest or record says of one file; raises StrangeFile and StrangeName."""
    kinds = {"bytes": int, "sha256": str}
    if not isinstance(file, dict):
        raise strange(storage, f"it lists the file {shown(file, 60)}", where)
    storage.listed(file.get("name"), where)
    for key, kind in kinds.items():
        if not isinstance(file.get(key), kind):
            raise strange(
                storage, f"the file {file['name']!r} has {key} {shown(file.get(key), 60)}", where
            )
    return file


def strange(storage: Storage, what: str, where: str = MANIFEST) -> StrangeFile:
    """The error for a manifest or record that pairmill cannot have written: which file, and what in
    it.
    """
    return StrangeFile(
        f"{storage.path(where)} is not as pairmill writes it: {what}; "
        "was it damaged, or is this a package of another tool?"
    )


def replaced(storage: Storage, mark: str) -> set[str]:
    """Files of the package that one in the making takes the place of; raises StrangeName."""
    facts = storage.read_json(mark)
    names = facts.get("replaces") if isinstance(facts, dict) else None
    if not isinstance(names, list):
        raise strange(storage, "it has no list 'replaces'", mark)
    return {storage.listed(name, mark) for name in names}
