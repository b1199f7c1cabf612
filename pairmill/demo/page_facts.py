"""What a page of the demo world tells of a picture's thing and no picture shows."""

import random
import re

from pairmill.demo.scenes import Scene

FACTS = (
    ("price", "It costs {fact} at our shop.", "{n} crowns"),
    ("year", "It was made in {fact}.", "{year}"),
    ("maker", "It was made by the workshop of {fact}.", "{name}"),
)
"""Kind, sentence, and the fact's own words."""

TOLD = re.compile(
    "|".join(re.escape(s).replace(re.escape("{fact}"), r"[^.]+?") for _, s, _ in FACTS)
)


def page_fact(rng: random.Random, scene: Scene, maker: str) -> tuple[str, str, str]:
    """(kind of the fact, the fact, what the page says)."""
    kind, sentence, words = rng.choice(FACTS)
    fact = words.format(n=rng.randint(3, 400), year=rng.randint(1820, 2020), name=maker)
    thing = scene.groups[0].kind
    opening = rng.choice((f"About the {thing}.", f"This {thing} is for sale.", f"Our {thing}."))
    return kind, fact, f"{opening} {sentence.format(fact=fact)}"


def told_fact(page: str) -> str | None:
    """The sentence of a page that tells a fact; None where none does."""
    found = TOLD.search(page)
    return found[0] if found else None
