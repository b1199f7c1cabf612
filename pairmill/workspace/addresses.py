"""Where a stage's columns of a shard are stored: under the digest of what decides them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairmill.workspace.digests import digest_of, hexed

FOLDER = "columns"


@dataclass(frozen=True)
class Recipe:
    """What decides a stage's values beside the rows of a shard.

    `definition`: digest of what the stage is.  `population`: of a stage over all rows, a digest of
    those it looks at.  `inputs`: what it reads, in its own order: (None, source column), or (index
    of the stage that writes it, place among that stage's columns).
    """

    definition: str
    population: str | None
    inputs: tuple[tuple[int | None, str | int], ...]

    def to_json(self) -> dict[str, Any]:
        """As plan.json of a run holds it."""
        return {
            "definition": self.definition,
            "population": self.population,
            "inputs": [list(i) for i in self.inputs],
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Recipe":
        """What `to_json` made."""
        inputs = tuple((writer, name) for writer, name in facts["inputs"])
        return cls(facts["definition"], facts["population"], inputs)

    def columns(self) -> set[str]:
        """The source columns that it reads."""
        return {str(name) for writer, name in self.inputs if writer is None}


def addresses(
    recipes: Sequence[Recipe | None], name: int, digests: Mapping[str, int]
) -> tuple[int | None, ...]:
    """By stage: the address of what it stores of a shard; None where there is no recipe.

    `name`: the shard's, a digest of its uids; `digests`: of its source columns.
    """
    made: list[int | None] = []
    for recipe in recipes:
        if recipe is None:
            made.append(None)
            continue
        inputs = (input_of(i, digests, made) for i in recipe.inputs)
        own = (recipe.definition.encode(), (recipe.population or "").encode())
        made.append(digest_of(*own, int(name).to_bytes(8, "little"), *inputs))
    return tuple(made)


def input_of(
    read: tuple[int | None, str | int], digests: Mapping[str, int], made: Sequence[int | None]
) -> bytes:
    """What stands for a column in an address: the digest of a source column, or address and place
    of a stage's.
    """
    writer, name = read
    if writer is None:
        return b"source" + int(digests[str(name)]).to_bytes(8, "little")
    address = made[writer]
    assert address is not None, f"stage {writer} has no address yet"
    return f"stage {name} ".encode() + address.to_bytes(8, "little")


def column_file(column_set: str, name: int, address: int) -> str:
    """Where it is stored: names of shard and address tell whose rows these are, and which
    values.
    """
    return f"{FOLDER}/{column_set}/{hexed(name)}.{hexed(address)}.parquet"
