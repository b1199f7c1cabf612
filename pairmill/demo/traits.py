"""What a demo world is asked to be like, as arguments of the processes that serve it."""

import argparse
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from pairmill.demo.scenes import MOST_THINGS

SHARES = ("noise", "junk", "wrong", "relations", "watermarks", "motifs", "facts")


@dataclass(frozen=True)
class Traits:
    """What a world is asked to be like; without any, it is the demo's."""

    zipf: float = 0.0
    """Exponent of Zipf's law by which kinds of things occur; 0: all are equally frequent."""
    noise: float | None = None
    """Share of texts that are about another picture; None: 12%."""
    junk: float | None = None
    """Share of texts that are about nothing or cut off: boilerplate, short, truncated, spam; None:
    14%.
    """
    wrong: float = 0.0
    """Share of the texts that match which are wrong in one attribute: a colour, a number, or, where
    it is told, which thing stands where.
    """
    relations: float = 0.0
    """Share of the texts about two things that say how these stand to each other."""
    names: int | None = None
    """How many proper names there are, which then recur; None: each is drawn anew."""
    things: int = 0
    """Fewest different things in a scene, which has up to half as many more, and at most 12; 0: one
    or two kinds of things, up to four of each.
    """

    watermarks: float = 0.0
    """Share of pictures that bear a stock agency's mark."""
    motifs: float = 0.0
    """Share of pictures that show a sign of warning, which stands for what is unsafe."""
    facts: float = 0.0
    """Share of rows whose page tells something that the picture does not show."""

    def __post_init__(self) -> None:
        shares = {f.name: getattr(self, f.name) for f in fields(self) if f.name in SHARES}
        for name, value in shares.items():
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}: a share from 0 to 1, not {value}")
        if (self.noise or 0) + (self.junk or 0) > 1:
            raise ValueError(f"noise and junk: {self.noise} and {self.junk} are more than 1")
        if not 0 <= self.things <= MOST_THINGS:
            raise ValueError(f"things: 0 to {MOST_THINGS}, not {self.things}")

    def arguments(self) -> list[str]:
        """Arguments of a command that `add_arguments` reads."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return [f"--world-{name}={value}" for name, value in given.items()]


class HasTraits(Protocol):
    """Arguments that were read."""

    def __getattr__(self, name: str) -> Any: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each trait, told by its name from those of what serves the world."""
    for trait in fields(Traits):
        kind = int if "int" in str(trait.type) else float
        parser.add_argument(f"--world-{trait.name}", type=kind, default=trait.default)


def traits_of(arguments: HasTraits) -> Traits:
    """The traits that a command was given."""
    return Traits(
        **{trait.name: getattr(arguments, f"world_{trait.name}") for trait in fields(Traits)}
    )
