"""The demo's web: every row is a function of (seed, index), so a million of them need no memory."""

import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pairmill.demo.page_facts import page_fact
from pairmill.demo.scenes import Scene, confuse, random_name, random_scene, rng_for, wronged
from pairmill.demo.texts import alt_text
from pairmill.demo.traits import Traits
from pairmill.demo.words import BOILERPLATE, LANGUAGES, SPAM

HOSTS = tuple(f"img{i}.demo.test" for i in range(6))
CLOSED_HOST = "closed.demo.test"
BUSY_HOST = "busy.demo.test"
"""Answers 429 and asks for a day's pause."""
PAGE_ROWS = 3

# What a server does, and the error class that an honest downloader must report (None: the image
# arrives).
FAULTS: dict[str, str | None] = {
    "none": None,
    "redirect": None,
    "busy_once": None,
    "error_once": None,
    "wrong_type": None,
    "robots_other": None,
    "not_found": "http_4xx",
    "gone": "http_4xx",
    "forbidden": "http_4xx",
    "busy": "http_429",
    "error": "http_5xx",
    "loop": "policy",
    "private": "policy",
    "robots": "policy",
    "tdm": "policy",
    "slow": "timeout",
    "stalled": "timeout",
    "truncated": "connect",
    "closed": "connect",
    "tls": "tls",
    "dns": "dns",
    "html": "not_image",
    "svg": "not_image",
    "empty": "not_image",
    "giant": "too_large",
    "endless": "too_large",
    "bomb": "too_large",
    "cut_file": "decode",
}
SOUND = ("redirect", "busy_once", "error_once", "wrong_type", "robots_other")
BROKEN = tuple(f for f, error in FAULTS.items() if error)
ROBOTS = (
    "noai",
    "noindex, noimageai",
    "demo-bot: noai",
    "none",
    "otherbot: noindex, demo-bot: noimageindex",
    "noimageindex, nofollow",
)
ROBOTS_FOR_OTHERS = (
    "otherbot: noai",
    "googlebot: none, otherbot: noindex",
    "max-image-preview: large",
    "all",
)

TEXT_KINDS = ("matched", "mismatched", "boilerplate", "short", "truncated", "spam")
"""Beside them, where a world has them: `wrong`, a matched text that is wrong in one attribute."""
TEXT_WEIGHTS = (74, 12, 6, 2, 3, 3)
COPIES = ("original", "exact", "near", "confusable")
COPY_WEIGHTS = (85, 6, 5, 4)
NEAR_CHANGES = ("recompressed", "resized", "cropped", "watermarked")


HELD_OUT_SHARE = 0.12
"""Pictures of pairs of kind and colour that no model was trained on, so that there are enough to
measure by.
"""


@dataclass(frozen=True)
class WorldRow:
    """One image on a page, with everything that is true of it; a pipeline sees `url`, `text`,
    `page_url` and `lang_tag`.
    """

    index: int
    url: str
    page_url: str
    text: str
    lang_tag: str
    fault: str
    copy: str
    change: str | None
    picture: int
    scene: Scene
    text_kind: str
    language: str
    name: str | None
    wrong: str | None = None
    """Attribute in which the text is wrong: colour, count, relation."""
    related: bool = False
    """Whether the text says how two things stand to each other."""
    page_text: str | None = None
    fact_kind: str | None = None
    fact: str | None = None
    """What the page tells and the picture does not show: a price, a year, a maker."""

    @property
    def matched(self) -> bool:
        """Whether the text is about the picture."""
        return self.text_kind == "matched"

    @property
    def expected_error(self) -> str | None:
        """Class of the failure that the fault demands; None where the image arrives."""
        return FAULTS[self.fault]


class World:
    """`rows` rows of a web that depends on `seed` alone, and on the traits it is asked to have: the
    fields of Traits, by name.
    """

    def __init__(self, rows: int, seed: int = 0, **traits: Any) -> None:
        self.rows, self.seed, self.traits = rows, seed, Traits(**traits)

    def rng(self, purpose: str, index: int) -> random.Random:
        """Chance for a purpose and a row."""
        return rng_for(purpose, self.seed, index)

    def fault_of(self, index: int) -> str:
        """The row's fault of the web."""
        rng = self.rng("fault", index)
        dice = rng.random()
        if dice < 0.10:
            return rng.choice(BROKEN)
        return rng.choice(SOUND) if dice < 0.16 else "none"

    def copy_of(self, index: int) -> str:
        """What kind of copy the row is."""
        if index < 20:
            return "original"
        return self.rng("copy", index).choices(COPIES, COPY_WEIGHTS)[0]

    def origin_of(self, index: int) -> int:
        """The picture that a copy or confusable repeats: an earlier original that arrives."""
        rng = self.rng("origin", index)
        for _ in range(200):
            candidate = rng.randrange(index)
            if self.copy_of(candidate) == "original" and FAULTS[self.fault_of(candidate)] is None:
                return candidate
        return 0

    @lru_cache(maxsize=4096)  # noqa: B019 - a world lives as long as its process
    def picture_scene(self, picture: int) -> Scene:
        """What a picture shows."""
        rng = self.rng("scene", picture)
        split = "held_out" if rng.random() < HELD_OUT_SHARE else "any"
        scene = random_scene(rng, split, self.traits.zipf, self.traits.things)
        watermark, motif = (
            share > 0 and self.rng(purpose, picture).random() < share
            for purpose, share in (
                ("watermark", self.traits.watermarks), ("motif", self.traits.motifs),
            )
        )  # fmt: skip
        return replace(scene, watermark=watermark, motif=motif)

    def row(self, index: int) -> WorldRow:
        """Everything about row `index` (0 ≤ index < rows)."""
        rng = self.rng("row", index)
        fault, copy = self.fault_of(index), self.copy_of(index)
        picture = index if copy == "original" else self.origin_of(index)
        scene = self.picture_scene(picture)
        if copy == "confusable":
            scene = confuse(rng, scene)
        change = rng.choice(NEAR_CHANGES) if copy == "near" else None
        kind = rng.choices(TEXT_KINDS, self.text_weights())[0]
        language = "en" if rng.random() < 0.55 else rng.choice(LANGUAGES[1:])
        name = (
            random_name(rng) if rng.random() < 0.3 and kind in ("matched", "mismatched") else None
        )
        if name is not None and self.traits.names is not None:
            name = random_name(self.rng("name", rng.randrange(self.traits.names)))
        described, wrong, related = self.scene_of_text(index, kind, scene)
        text = self.text(rng, kind, language, described, name, related)
        tag = language if rng.random() < 0.93 else rng.choice(LANGUAGES)
        if kind in ("boilerplate", "spam"):
            language = "en"
        return WorldRow(
            index,
            self.url(rng, index, fault),
            self.page(index),
            text,
            tag,
            fault,
            copy,
            change,
            picture,
            scene,
            "wrong" if wrong else kind,
            language,
            name,
            wrong,
            related,
            **self.page_facts(index, scene),
        )

    def scene_of_text(self, index: int, kind: str, scene: Scene) -> tuple[Scene, str | None, bool]:
        """The scene that the text tells of, the attribute in which it is another than the
        picture's, and whether the text says how two things stand.
        """
        related = len(scene.groups) == 2 and self.happens("relation", index, "relations")
        if kind != "matched" or not self.happens("wrong", index, "wrong"):
            return scene, None, related and kind == "matched"
        return *wronged(self.rng("wrong attribute", index), scene, related), related

    def happens(self, purpose: str, index: int, trait: str) -> bool:
        """Whether a row is of the share that a trait gives."""
        share = getattr(self.traits, trait)
        return share > 0 and self.rng(purpose, index).random() < share

    def page_facts(self, index: int, scene: Scene) -> dict[str, str]:
        """What the row's page tells."""
        if not self.happens("fact", index, "facts"):
            return {}
        rng = self.rng("page fact", index)
        kind, fact, text = page_fact(rng, scene, random_name(rng))
        return {"fact_kind": kind, "fact": fact, "page_text": text}

    def text_weights(self) -> tuple[float, ...]:
        """How often each of TEXT_KINDS occurs."""
        noise, junk = self.traits.noise, self.traits.junk
        if noise is None and junk is None:
            return TEXT_WEIGHTS
        matched, mismatched, *others = TEXT_WEIGHTS
        if junk is None:
            assert noise is not None
            rest = (1 - noise) / (matched + sum(others))
            return (matched * rest, noise, *(w * rest for w in others))
        noise = mismatched / 100 if noise is None else noise
        return (1 - noise - junk, noise, *(w * junk / sum(others) for w in others))

    def text(
        self,
        rng: random.Random,
        kind: str,
        language: str,
        scene: Scene,
        name: str | None,
        related: bool = False,
    ) -> str:
        """The web's text beside the picture."""
        if kind == "boilerplate":
            return rng.choice(BOILERPLATE).format(n=rng.randrange(9999))
        if kind == "spam":
            return rng.choice(SPAM).format(n=rng.randrange(9999))
        if kind == "mismatched":
            other = random_scene(rng, zipf=self.traits.zipf)
            while {g.kind for g in other.groups} & {g.kind for g in scene.groups}:
                other = random_scene(rng, zipf=self.traits.zipf)
            scene = other
        text = alt_text(scene, language, rng, name, related)
        if kind == "short":
            return text[: rng.randint(1, 4)].strip() or text[0]
        if kind == "truncated":
            return text[: max(6, len(text) // 3)].rstrip() + "..."
        return text

    def page(self, index: int) -> str:
        """Neighbouring rows sometimes stand on one page, between its paragraphs."""
        block = index // PAGE_ROWS
        shared = self.rng("page", block).random() < 0.2
        return f"http://pages.demo.test/{f'p{block}' if shared else f's{index}'}.html"

    def url(self, rng: random.Random, index: int, fault: str) -> str:
        """Where the image is."""
        host, scheme = rng.choice(HOSTS), "http"
        if fault == "dns":
            host = f"gone-{index}.invalid"
        elif fault == "closed":
            host = CLOSED_HOST
        elif fault == "tls":
            scheme = "https"
        elif fault == "busy":
            host = BUSY_HOST
        return f"{scheme}://{host}/i/{index:07d}.jpg"
