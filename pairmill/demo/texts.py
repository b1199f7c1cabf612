"""Texts of the demo world: what the web says of a scene, what a careful captioner would say, and
both in one.
"""

import random

from pairmill.demo.scenes import Group, Scene
from pairmill.demo.words import (
    AND,
    COLOUR_WORDS,
    COLOURS,
    EN_PLACES,
    GROUP_PATTERNS,
    KINDS,
    NOUNS,
    NUMBER_WORDS,
    NUMBERS,
    PLACE_WORDS,
    PLACES,
    PLURALS,
    SENTENCES,
    SIDED,
    SIDES,
)

SHORT_PROMPT = "Describe the picture in one short sentence."
DETAILED_PROMPT = "Describe the picture in detail."
FUSION_PROMPT = (
    "Web text: {text}\nCaption: {caption}\nMerge both into one caption that keeps the names."
)

NAMED = (
    "{name}: {s}",
    "{s}, known as {name}",
    "{name}, {s}",
    "{s} called {name}",
    "the {name} - {s}",
    "{s} ({name})",
)


def english_group(group: Group, detailed: bool = False) -> str:
    """Things of one kind, in English."""
    noun = group.kind if group.count == 1 else PLURALS[group.kind]
    texture = f"{group.texture} " if detailed and group.texture != "plain" else ""
    words = f"{group.size} {texture}{group.colour} {noun}" if detailed else f"{group.colour} {noun}"
    if group.count > 1:
        return f"{NUMBERS[group.count]} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def short_caption(scene: Scene) -> str:
    """`two red stars and a blue car at night`."""
    return f"{listed([english_group(g) for g in scene.groups])} {EN_PLACES[scene.place]}"


def listed(things: list[str]) -> str:
    """`a red ball, a blue car and a green tree`."""
    return " and ".join([*([", ".join(things[:-1])] if things[1:] else []), things[-1]])


def detailed_caption(scene: Scene) -> str:
    """Sizes, textures, places and relations, in one or two sentences."""
    first = scene.groups[0]
    verb = "is" if first.count == 1 else "are"
    text = f"There {verb} {english_group(first, detailed=True)} {EN_PLACES[scene.place]}."
    if len(scene.groups) == 1:
        return text
    if len(scene.groups) > 2:
        rest = listed([english_group(g, detailed=True) for g in scene.groups[1:]])
        return f"{text} After it, from left to right and from top to bottom, come {rest}."
    second = scene.groups[1]
    where = "Below" if scene.relation == "above" else "To the right"
    return (
        f"{text} {where} {'is' if second.count == 1 else 'are'} "
        f"{english_group(second, detailed=True)}."
    )


def phrases(scene: Scene, language: str, related: bool = False) -> tuple[str, str]:
    """The first two things and the place of a scene, in `language`; `related`: and how the two
    stand.
    """
    named = scene.groups[:2]
    if language == "en":
        english = placed([english_group(g) for g in named], scene, language, related)
        return AND["en"].join(english), EN_PLACES[scene.place]
    nouns = dict(zip(KINDS, (pair.split("/") for pair in NOUNS[language].split()), strict=True))
    colours = dict(zip(COLOURS, COLOUR_WORDS[language].split(), strict=True))
    places = dict(zip(PLACES, PLACE_WORDS[language].split("|"), strict=True))
    things = [
        GROUP_PATTERNS[language][group.count > 1].format(
            n=NUMBER_WORDS[language][group.count - 1],
            k=nouns[group.kind][group.count > 1],
            c=colours[group.colour],
        )
        for group in named
    ]
    return AND[language].join(placed(things, scene, language, related)), places[scene.place]


def placed(things: list[str], scene: Scene, language: str, related: bool) -> list[str]:
    """Two things with where they are, if that is to be told."""
    if not related or len(things) != 2:
        return things
    sides = SIDES[language].split("|")[2 * (scene.relation == "above") :]
    form = SIDED.get(language, "{g} {s}")
    return [form.format(g=thing, s=side) for thing, side in zip(things, sides, strict=False)]


def alt_text(
    scene: Scene,
    language: str,
    rng: random.Random,
    name: str | None = None,
    related: bool = False,
) -> str:
    """What a page in `language` might say of the scene; with `name`, the thing's proper name stands
    in it, and `related`, how two things stand to each other.
    """
    things, place = phrases(scene, language, related)
    sentence = rng.choice(SENTENCES[language]).format(g=things, p=place)
    if name is not None:
        return rng.choice(NAMED).format(name=name, s=sentence)
    return sentence


def fused_caption(caption: str, name: str | None) -> str:
    """The caption a good merger writes: the description, and the name the web text knew."""
    return f"{name}, {caption}" if name else caption
