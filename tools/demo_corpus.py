"""Training material of the demo models: drawn scenes and texts about them.  Nothing here is seen by
a pipeline.
"""

import random

import numpy as np
import torch
from PIL import Image

from pairmill.demo.drawing import render_boxes
from pairmill.demo.scenes import Group, Scene, random_name, random_scene, rng_for
from pairmill.demo.texts import (
    DETAILED_PROMPT,
    FUSION_PROMPT,
    SHORT_PROMPT,
    alt_text,
    detailed_caption,
    fused_caption,
    short_caption,
)
from pairmill.demo.words import BOILERPLATE, COLOURS, KINDS, LANGUAGES, PLACES, SPAM

IMAGE_PX, PATCH_PX = 112, 16
PATCHES = IMAGE_PX // PATCH_PX  # a side
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
SIZES, TEXTURES = ("small", "large"), ("plain", "striped", "dotted")


def draw(scene: Scene, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """The scene at a web-like size, squeezed to (112, 112, 3) uint8 as the image processor will do,
    and its patches.

    Patches, (49, 2) int8: number of the kind and of the colour of the thing whose box holds the
    patch's centre, or one more than the last number where there is none.
    """
    width = rng.randint(200, 360)
    height = int(width * rng.uniform(0.6, 1.3))
    image, places = render_boxes(scene, width, height, rng)
    patches = np.tile(np.array([len(KINDS), len(COLOURS)], np.int8), (PATCHES, PATCHES, 1))
    x, y = (
        (np.arange(PATCHES) + 0.5) / PATCHES * width,
        (np.arange(PATCHES) + 0.5) / PATCHES * height,
    )
    for group, boxes in zip(scene.groups, places, strict=True):
        for left, top, side in boxes:
            inside = ((y >= top) & (y < top + side))[:, None] & ((x >= left) & (x < left + side))[
                None
            ]
            patches[inside] = (KINDS.index(group.kind), COLOURS.index(group.colour))
    pixels = np.asarray(image.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC))
    return pixels, patches.reshape(-1, 2)


class Corpus:
    """`size` training scenes, drawn once; batches are a function of (purpose, step)."""

    def __init__(self, size: int) -> None:
        self.scenes = [random_scene(rng_for("train", i), split="train") for i in range(size)]
        drawn = [draw(s, rng_for("draw", i)) for i, s in enumerate(self.scenes)]
        self.images, self.patches = (np.stack(part) for part in zip(*drawn, strict=True))

    def batch_rows(self, purpose: str, step: int, batch: int) -> list[int]:
        return rng_for(purpose, step).sample(range(len(self.scenes)), batch)

    def pixels(self, rows: list[int], grey: torch.Tensor) -> torch.Tensor:
        """Normalised (rows, 3, 112, 112), shifted by a few pixels, in light of +-12%; without
        colour where `grey`.

        Grey is a random mix of the three channels, so a shape is seen in many contrasts and colour
        tells nothing of it.
        """
        x = torch.from_numpy(self.images[rows]).permute(0, 3, 1, 2).float()
        x = torch.roll(x, random.choice(((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3))), dims=(2, 3))
        weights = torch.rand(len(rows), 3, 1, 1) + 0.02
        mixed = (x * (weights / weights.sum(1, keepdim=True))).sum(1, keepdim=True).expand_as(x)
        x = torch.where(grey.view(-1, 1, 1, 1), mixed, x)
        light = torch.empty(len(rows), 1, 1, 1).uniform_(0.88, 1.12)
        return x.contiguous().mul_(light / 255).sub_(MEAN).div_(STD)

    def clip_corpus(self):
        for i, scene in enumerate(self.scenes[:12_000]):
            yield clip_text(scene, rng_for("words", i))

    def chat_corpus(self):
        for i, scene in enumerate(self.scenes[:8_000]):
            rng = rng_for("chat", i)
            yield from caption_example(scene, rng)
            yield from fusion_example(scene, self.scenes, rng)


def attribute_labels(scene: Scene) -> list[int]:
    """Class numbers for the attribute heads, -1 where there is no second group."""
    labels = []
    for slot in range(2):
        if slot < len(scene.groups):
            g = scene.groups[slot]
            labels += [
                KINDS.index(g.kind),
                COLOURS.index(g.colour),
                g.count,
                SIZES.index(g.size),
                TEXTURES.index(g.texture),
            ]
        else:
            labels += [len(KINDS), -1, 0, -1, -1]
    relation = -1 if len(scene.groups) == 1 else ("beside", "above").index(scene.relation)
    return [*labels, PLACES.index(scene.place), relation]


def clip_text(scene: Scene, rng: random.Random) -> str:
    language = "en" if rng.random() < 0.3 else rng.choice(LANGUAGES)
    name = random_name(rng) if rng.random() < 0.4 else None
    if language == "en" and rng.random() < 0.3:
        return rng.choice((short_caption(scene), detailed_caption(scene)))
    return alt_text(scene, language, rng, name)


def caption_example(scene: Scene, rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.5:
        return SHORT_PROMPT, short_caption(scene)
    return DETAILED_PROMPT, detailed_caption(scene)


def fusion_example(scene: Scene, scenes: list[Scene], rng: random.Random) -> tuple[str, str]:
    """(prompt, answer).  The name is kept when the web text speaks of the same kinds of things;
    else it is refused.
    """
    described, name, dice = scene, None, rng.random()
    if dice < 0.62:
        name = any_name(rng) if dice < 0.5 else None
        while rng.random() < 0.4:
            described = slip(described, rng)
        text = alt_text(scene, "en", rng, name)
    elif dice < 0.85:
        other = rng.choice(scenes)
        while {g.kind for g in other.groups} & {g.kind for g in scene.groups}:
            other = rng.choice(scenes)
        text = alt_text(other, "en", rng, random_name(rng) if rng.random() < 0.7 else None)
    else:
        text = rng.choice(BOILERPLATE + SPAM).format(n=rng.randrange(9999))
    caption = short_caption(described)
    return FUSION_PROMPT.format(text=text, caption=caption), fused_caption(caption, name)


def any_name(rng: random.Random) -> str:
    """Mostly a name of the world's kind; sometimes letters by chance, so that copying is learnt and
    not a list of names.
    """
    if rng.random() < 0.6:
        return random_name(rng)
    return "".join(
        rng.choice("abcdefghijklmnoprstuvwz") for _ in range(rng.randint(3, 8))
    ).capitalize()


def slip(scene: Scene, rng: random.Random) -> Scene:
    """The scene as a captioner that errs in one thing sees it; one kind of thing at least stays as
    it is.
    """
    i = rng.randrange(len(scene.groups))
    g = scene.groups[i]
    faults = ["colour", "count", "place"] + ["kind", "twice"] * (len(scene.groups) > 1)
    match rng.choice(faults):
        case "colour":
            g = Group(g.kind, rng.choice(COLOURS), g.count)
        case "count":
            g = Group(g.kind, g.colour, rng.randint(1, 4))
        case "place":
            return Scene(scene.groups, rng.choice(PLACES))
        case "kind":
            g = Group(rng.choice(KINDS), g.colour, g.count)
        case "twice":  # one of two things is taken for both
            g = Group(g.kind, g.colour, rng.randint(1, 4))
            return Scene((g,), scene.place)
    return Scene((*scene.groups[:i], g, *scene.groups[i + 1 :]), scene.place)
