"""What the oracle makes of other models' words: of what a detector found, of captions of parts."""

import random

from pairmill.demo.oracle_reading import told_by
from pairmill.demo.page_facts import told_fact
from pairmill.demo.quality import kinds_in
from pairmill.demo.scenes import Group, Scene
from pairmill.demo.texts import english_group
from pairmill.demo.words import COLOURS, EN_PLACES, KINDS


def textualized(first: str, objects: str, invented: float, rng: random.Random) -> str:
    """A description out of a first one and the names of things that were found: it keeps what the
    first one says of these and adds those that it lacks; now and then (`invented`) with a thing
    that was not found.
    """
    told = told_by(first)
    found = [name.strip() for name in objects.split(",") if name.strip() in KINDS]
    kept = [group for group in told.groups if group.kind in found]
    said = {group.kind for group in kept}
    words = [*map(english_group, kept), *(f"a {name}" for name in found if name not in said)]
    if rng.random() < invented:
        strange = rng.choice([kind for kind in KINDS if kind not in found])
        words.append(english_group(Group(strange, rng.choice(COLOURS))))
    place = f" {EN_PLACES[told.place]}" if told.place else ""
    return ", ".join(words) + place if words else "a picture"


def joined(parts: str) -> str:
    """One description out of those of several parts: a sentence a part, what was said before left
    out.
    """
    said: set[Group] = set()
    sentences = []
    for part in parts.split("|"):
        told = told_by(part)
        new = [group for group in told.groups if group not in said]
        said |= set(new)
        if new:
            place = f" {EN_PLACES[told.place]}" if told.place else ""
            sentences.append(f"There is {' and '.join(map(english_group, new))}{place}.")
    return " ".join(sentences) or "a picture"


def with_page(caption: str, page: str | None, scene: Scene) -> str:
    """A caption with what the page tells of a thing that the picture shows."""
    fact = told_fact(page or "")
    about = kinds_in(page or "") & {group.kind for group in scene.groups}
    return f"{caption.rstrip('.')}. {fact}" if fact and about else caption


def descriptions(kind: str) -> list[str]:
    """Ways in which a thing may look, as a text model knows them that does not see it."""
    return [english_group(Group(kind, colour)) for colour in COLOURS] if kind in KINDS else []
