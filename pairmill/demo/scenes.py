"""Scenes of the demo world: what can be in a picture, and chance that depends on a key alone."""

import random
from dataclasses import dataclass, field, replace

from pairmill.demo.words import COLOURS, KINDS, PLACES, SYLLABLES

TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
RELATIONS = ("beside", "above")
MOST_THINGS = 12
"""Of a scene: more would leave few of the 16 kinds for a text about something else."""


@dataclass(frozen=True)
class Group:
    """`count` (1 to 4) equal things: kind, colour, size (small | large) and texture (plain |
    striped | dotted).
    """

    kind: str
    colour: str
    count: int = 1
    size: str = "large"
    texture: str = "plain"


@dataclass(frozen=True)
class Scene:
    """One or two groups, the first of which stands left of (`beside`) or over (`above`) the second;
    or more, which stand like the words on a page.
    """

    groups: tuple[Group, ...]
    place: str
    relation: str = "beside"
    sign: str | None = None
    watermark: bool = field(default=False, repr=False)
    motif: bool = field(default=False, repr=False)
    """A sign of warning stands in a corner.  Marks are not told to whoever draws by what a scene
    shows, so that chance is the same without them.
    """


def held_out(kind: str, colour: str) -> bool:
    """Whether this pair of kind and colour never occurs in training (one in ten)."""
    return (KINDS.index(kind) * 7 + COLOURS.index(colour)) % 10 == 0


def rng_for(*key: object) -> random.Random:
    """A generator whose numbers depend on the key alone, on every machine and in every process."""
    return random.Random("|".join(map(str, key)))


def random_group(rng: random.Random, split: str, zipf: float = 0.0) -> Group:
    """A group whose kind and colour belong to `split`: train, held_out or any.  With `zipf`, the
    kind of rank r (in the order of KINDS) is drawn in proportion to r to the power of -`zipf`.
    """
    weights = [rank**-zipf for rank in range(1, len(KINDS) + 1)]
    while True:
        kind = rng.choices(KINDS, weights)[0] if zipf else rng.choice(KINDS)
        colour = rng.choice(COLOURS)
        if split == "any" or held_out(kind, colour) == (split == "held_out"):
            break
    count = rng.choices((1, 2, 3, 4), (5, 3, 2, 1))[0]
    texture = rng.choices(TEXTURES, (6, 2, 2))[0]
    return Group(kind, colour, count, rng.choice(SIZES), texture)


def random_scene(
    rng: random.Random, split: str = "any", zipf: float = 0.0, things: int = 0
) -> Scene:
    """A scene of one group (2 in 5) or of two groups of different kinds, now and then with a
    painted sign; with `things`, of so many single things of different kinds and up to half as many
    more (at most 12).
    """
    if things:
        return crowded_scene(rng, split, zipf, things)
    first = random_group(rng, split, zipf)
    groups: tuple[Group, ...] = (first,)
    if rng.random() < 0.6:
        second = random_group(rng, split, zipf)
        while second.kind == first.kind:
            second = random_group(rng, split, zipf)
        groups = (first, second)
    sign = random_name(rng).upper() if rng.random() < 0.06 else None
    return Scene(groups, rng.choice(PLACES), rng.choice(RELATIONS), sign)


def crowded_scene(rng: random.Random, split: str, zipf: float, things: int) -> Scene:
    """A scene of many things."""
    many = min(MOST_THINGS, rng.randint(things, things + things // 2))
    groups: dict[str, Group] = {}
    while len(groups) < many:
        group = random_group(rng, split, zipf)
        groups.setdefault(group.kind, replace(group, count=1))
    return Scene(tuple(groups.values()), rng.choice(PLACES))


def random_name(rng: random.Random) -> str:
    """A proper name that nobody could read off a picture, such as `Kalodor`."""
    return "".join(rng.sample(SYLLABLES, rng.choice((2, 3)))).capitalize()


def confuse(rng: random.Random, scene: Scene) -> Scene:
    """A scene that looks much like `scene` and is another: one colour differs."""
    first = scene.groups[0]
    colour = rng.choice([c for c in COLOURS if c != first.colour])
    return replace(scene, groups=(replace(first, colour=colour), *scene.groups[1:]))


def wronged(rng: random.Random, scene: Scene, related: bool) -> tuple[Scene, str]:
    """A scene that differs in one attribute, and which: colour, count, or relation, where that is
    told.
    """
    what = rng.choice(("colour", "count", "relation") if related else ("colour", "count"))
    if what == "relation":
        return replace(scene, groups=scene.groups[::-1]), what
    if what == "colour":
        return confuse(rng, scene), what
    first = scene.groups[0]
    count = rng.choice([n for n in (1, 2, 3, 4) if n != first.count])
    return replace(scene, groups=(replace(first, count=count), *scene.groups[1:])), what
