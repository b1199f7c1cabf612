"""What a demo world is asked to be like, as arguments of the processes that serve it."""

import argparse
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from pairmill.demo.scenes import MOST_THINGS


@dataclass(frozen=True)
class Traits:
    """What a world is asked to be like; without any, it is the demo's."""

    zipf: float = 0.0
    """Exponent of Zipf's law by which kinds of things occur; 0: all are equally frequent."""
    noise: float | None = None
    """Share of texts that are about another picture; None: 12%."""
    names: int | None = None
    """How many proper names there are, which then recur; None: each is drawn anew."""
    things: int = 0
    """Fewest different things in a scene, which has up to half as many more, and at most 12; 0: one
    or two kinds of things, up to four of each.
    """

    def __post_init__(self) -> None:
        if not 0 <= self.things <= MOST_THINGS:
            raise ValueError(f"things: 0 to {MOST_THINGS}, not {self.things}")

    def arguments(self) -> list[str]:
        """Arguments of a command that `add_arguments` reads."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return [f"--{name}={value}" for name, value in given.items()]


class HasTraits(Protocol):
    """Arguments that were read."""

    def __getattr__(self, name: str) -> Any: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each trait."""
    for trait in fields(Traits):
        kind = int if "int" in str(trait.type) else float
        parser.add_argument(f"--{trait.name}", type=kind, default=trait.default)


def traits_of(arguments: HasTraits) -> Traits:
    """The traits that a command was given."""
    return Traits(**{trait.name: getattr(arguments, trait.name) for trait in fields(Traits)})
