"""What the oracle knows of pictures and texts: the scene that a picture shows, by its looks; the
scene that a text tells of, in any of the world's languages, by its words.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from pairmill.demo.pictures import picture_bytes
from pairmill.demo.quality import GROUP, WORDS
from pairmill.demo.scenes import Group, Scene
from pairmill.demo.words import (
    COLOUR_WORDS,
    COLOURS,
    EN_PLACES,
    GROUP_PATTERNS,
    KINDS,
    LANGUAGES,
    NOUNS,
    NUMBER_WORDS,
    NUMBERS,
    PLACE_WORDS,
    PLACES,
    SYLLABLES,
)
from pairmill.demo.world import World
from pairmill.images import decode_rgb

SIDE = 16
"""Pictures are told apart by so many pixels a side."""
FARTHEST = 250.0
"""Mean square difference, of 255², up to which a picture is known: JPEG, other sizes, and a crop of
2% stay below; another picture does not.
"""
COUNTS = {"a": 1, "an": 1, **{word: n for n, word in NUMBERS.items()}}
CALLED = re.compile(
    rf"\b((?:{'|'.join(s.capitalize() for s in SYLLABLES)})(?:{'|'.join(SYLLABLES)})+)\b"
)


@dataclass(frozen=True)
class OracleQuestion:
    """What a text tells: things in order, the place if it names one, a proper name, and the
    language.
    """

    groups: tuple[Group, ...]
    place: str | None
    name: str | None
    language: str

    def kinds(self) -> set[str]:
        """Kinds of its things."""
        return {group.kind for group in self.groups}


class Pictures:
    """The pictures of a world, known again after they were resized and encoded anew."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.looks: np.ndarray | None = None
        self.scenes: list[Scene] = []
        self.learning = Lock()

    def learn(self) -> None:
        """Looks at every picture of the world once, some milliseconds each."""
        looks, scenes, seen = [], [], set()
        for index in range(self.world.rows):
            row = self.world.row(index)
            if row.copy in ("exact", "near"):
                continue
            key = (row.picture, row.scene)
            if key not in seen:
                seen.add(key)
                looks.append(small(decode_rgb(picture_bytes(self.world, row))))
                scenes.append(row.scene)
        self.scenes, self.looks = scenes, np.array(looks, np.float32)

    def scene_of(self, image: Image.Image) -> Scene | None:
        """What a picture shows; None of one that is not the world's."""
        with self.learning:  # requests come in threads
            if self.looks is None:
                self.learn()
        assert self.looks is not None
        distances = ((self.looks - small(image)) ** 2).mean(1)
        nearest = int(distances.argmin())
        return self.scenes[nearest] if distances[nearest] <= FARTHEST else None


def small(image: Image.Image) -> np.ndarray:
    """The picture at a few pixels, float32."""
    pixels = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(pixels, np.float32).ravel()


def told_by(text: str) -> OracleQuestion:
    """What a text tells of things, place and name, in the language that most of its words are
    from.
    """
    name = CALLED.search(text)
    best: tuple[list[Group], str | None, str] = ([], None, "en")
    for language in LANGUAGES:
        groups = english_groups(text) if language == "en" else foreign_groups(text, language)
        place = next((p for p, words in places(language).items() if words in text), None)
        if (len(groups), place is not None) > (len(best[0]), best[1] is not None):
            best = (groups, place, language)
    groups, place, language = best
    return OracleQuestion(tuple(groups), place, name[1] if name else None, language)


def places(language: str) -> dict[str, str]:
    """Place → its words."""
    if language == "en":
        return EN_PLACES
    return dict(zip(PLACES, PLACE_WORDS[language].split("|"), strict=True))


def english_groups(text: str) -> list[Group]:
    """Things that an English text names with their colours, in order."""
    found = GROUP.findall(text.lower())
    return [Group(WORDS[word], colour, COUNTS.get(n, 1)) for n, colour, word in found]


def foreign_groups(text: str, language: str) -> list[Group]:
    """Things that a text in another language names, in order."""
    groups = [phrase_table(language)[phrase] for phrase in phrase_pattern(language).findall(text)]
    return list(dict.fromkeys(groups))


@lru_cache(None)
def phrase_table(language: str) -> dict[str, Group]:
    """The words for each kind, colour and count."""
    table: dict[str, Group] = {}
    nouns = [pair.split("/") for pair in NOUNS[language].split()]
    for kind, (one, several) in zip(KINDS, nouns, strict=True):
        for colour, word in zip(COLOURS, COLOUR_WORDS[language].split(), strict=True):
            for count in (4, 3, 2, 1):
                pattern = GROUP_PATTERNS[language][count > 1]
                noun, number = (several if count > 1 else one), NUMBER_WORDS[language][count - 1]
                phrase = pattern.format(n=number, k=noun, c=word)
                table.setdefault(phrase, Group(kind, colour, count))
    return table


@lru_cache(None)
def phrase_pattern(language: str) -> re.Pattern[str]:
    """Finds the longest of these phrases first."""
    phrases = sorted(phrase_table(language), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, phrases)))


def image_of(part: dict[str, Any]) -> Image.Image | None:
    """The picture of a part of a message, which must be a data URL."""
    import base64

    url = (part.get("image_url") or {}).get("url", "")
    if not url.startswith("data:image/"):
        return None
    return decode_rgb(base64.b64decode(url.partition(",")[2]))
