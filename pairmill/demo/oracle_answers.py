"""What the oracle answers: the truth of the demo's world, with seeded errors."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pairmill.demo.oracle_experts import descriptions, joined, textualized, with_page
from pairmill.demo.oracle_reading import OracleQuestion, told_by
from pairmill.demo.scenes import Group, Scene, rng_for
from pairmill.demo.texts import (
    alt_text,
    detailed_caption,
    english_group,
    fused_caption,
    short_caption,
)
from pairmill.demo.words import COLOURS, EN_PLACES, KINDS, LANGUAGES

NAMES_OF_LANGUAGES = {
    "English": "en", "German": "de", "French": "fr", "Spanish": "es", "Russian": "ru",
    "Chinese": "zh", "Japanese": "ja", "Arabic": "ar",
}  # fmt: skip
REFUSAL = "I'm sorry, but I can't help with that."
UNKNOWN = "A picture that is not of this world."
QUOTED = re.compile(r"^(?:the )?([\w', ]{2,60}?): ?(.*)$", re.IGNORECASE)
"""A line of a prompt that hands over a text: `Caption: …`, `The page says: …`."""
RAW = ("web text", "alt text", "page says", "page", "alt", "title")
SEEN = ("caption", "description", "image shows", "shows", "first description", "whole")


@dataclass(frozen=True)
class Rates:
    """How often the oracle errs."""

    wrong: float = 0.2
    """An attribute of a caption, a translation or a verdict is wrong."""
    invented: float = 0.1
    """A caption names a thing that is not there."""
    bad_json: float = 0.1
    """An answer that should be JSON is none, or does not fit."""
    refused: float = 0.02
    """The answer is a refusal."""


@dataclass(frozen=True)
class Question:
    """What the oracle is asked: the last turn's text, the system turn, the scenes of its pictures
    (None for one that it does not know), the schema of the answer.
    """

    text: str
    system: str = ""
    scenes: tuple[Scene | None, ...] = ()
    schema: dict[str, Any] | None = None
    seed: int = 0
    """Of the request."""
    turns: int = 1
    """Turns before, so that who asks again gets another chance."""

    def parts(self) -> dict[str, str]:
        """Texts that the prompt hands over, by what it calls them; texts go over several lines."""
        found: dict[str, str] = {}
        name = ""
        for line in self.text.splitlines():
            match = QUOTED.match(line.strip())
            if match:
                name = match[1].lower()
                found[name] = match[2].strip()
            elif name and not found[name]:
                found[name] = line.strip()
        return found

    def called(self, words: tuple[str, ...]) -> str | None:
        """The first text that is called by one of some words."""
        named = self.parts()
        return next((t for w in words for n, t in named.items() if n.endswith(w) and t), None)


@dataclass
class Oracle:
    """Answers questions about one world; the same question has the same answer."""

    seed: int = 0
    rates: Rates = field(default_factory=Rates)

    def answer(self, question: Question) -> str:
        """The text of the answer."""
        rng = rng_for("oracle", self.seed, question)
        if rng.random() < self.rates.refused:
            return REFUSAL
        if question.schema is not None:
            return self.structured(question, rng)
        return self.plain(question, rng)

    def plain(self, question: Question, rng: random.Random) -> str:
        """An answer in words."""
        asked = f"{question.system}\n{question.text}".lower()
        if "translat" in asked:
            return self.translated(question, rng)
        if (objects := question.called(("detector is sure of",))) is not None:
            first = question.called(("first description",)) or ""
            return textualized(first, objects, self.rates.invented, rng)
        if (parts := question.called(("one after the other",))) is not None:
            return joined(parts)
        raw, seen = question.called(RAW), question.called(SEEN)
        if question.scenes:
            scene = question.scenes[0]
            if scene is None:
                return UNKNOWN
            caption = self.caption(scene, asked, rng)
            caption = with_page(caption, question.called(("around it",)), scene)
            claim = told_by(raw) if raw else None
            fits = claim is not None and bool(claim.kinds() & kinds_of(scene))
            return fused_caption(caption, claim.name if claim is not None and fits else None)
        if raw and seen:
            return merged(told_by(raw), seen)
        if "shorten" in asked or "short" in asked:
            return shortened(told_by(question.text))
        claim = told_by(seen or raw or question.text)
        text = ", ".join(english_group(g) for g in claim.groups) or (seen or raw or "").strip()
        return f"{text} {EN_PLACES[claim.place]}" if claim.place and claim.groups else text

    def caption(self, scene: Scene, asked: str, rng: random.Random) -> str:
        """A caption of a scene, now and then with a wrong attribute or an invented thing."""
        long = any(word in asked for word in ("detail", "paragraph", "in steps"))
        claim = self.erring(scene, rng)
        text = detailed_caption(claim) if long else short_caption(claim)
        if rng.random() < self.rates.invented:
            extra = Group(other(KINDS, kinds_of(scene), rng), rng.choice(COLOURS))
            text = f"{text.rstrip('.')}, with {english_group(extra)}" + ("." if long else "")
        return text

    def erring(self, scene: Scene, rng: random.Random) -> Scene:
        """The scene, or one in which a colour or a number is another."""
        if rng.random() >= self.rates.wrong:
            return scene
        return replace(scene, groups=(wronged(scene.groups[0], rng), *scene.groups[1:]))

    def translated(self, question: Question, rng: random.Random) -> str:
        """The text said in the language that the prompt names; errors as in captions."""
        languages = "|".join((*NAMES_OF_LANGUAGES, *LANGUAGES))
        pattern = re.compile(rf"\b(?:in)?to ({languages})\b")
        within_text = pattern.search(question.text)
        named = within_text or pattern.search(question.system)
        language = NAMES_OF_LANGUAGES.get(named[1], named[1]) if named else "en"
        rest = question.text[within_text.end() :] if within_text else question.text
        body = question.called(("text",)) or rest
        claim = told_by(body)
        if not claim.groups:
            return body.strip().rpartition("\n")[2]
        scene = self.erring(Scene(claim.groups[:2], claim.place or "room"), rng)
        return alt_text(scene, language, rng_for("translation", scene, language), claim.name)

    def structured(self, question: Question, rng: random.Random) -> str:
        """JSON by the question's schema, now and then broken."""
        properties = (question.schema or {}).get("properties", {})
        facts = self.verdict(question, rng)
        values = {name: value_of(name, inner, facts, rng) for name, inner in properties.items()}
        text = json.dumps(values, ensure_ascii=False)
        if rng.random() < self.rates.bad_json:
            return broken(text, values, rng)
        return text

    def verdict(self, question: Question, rng: random.Random) -> dict[str, Any]:
        """What a judge says of the text that the prompt hands over, and what a writer makes of
        it.
        """
        scene = next((s for s in question.scenes if s is not None), None)
        text = question.called(SEEN) or question.called(RAW) or question.text
        claim = told_by(text)
        right, wrong = compared(claim, scene)
        score = 5 if not wrong and right else 1 if not right else max(2, 4 - len(wrong))
        if rng.random() < self.rates.wrong:
            score = other((1, 2, 3, 4, 5), {score}, rng)
        label = "match" if score == 5 else "mismatch" if score == 1 else "partly"
        facts: dict[str, Any] = {"score": score, "label": label}
        facts["reasons"] = "; ".join(wrong) or "every word is true"
        if scene is not None:
            facts["objects"] = sorted(kinds_of(scene))
            facts["draft"] = self.caption(scene, "", rng)
            facts["refined"] = fused_caption(short_caption(scene), claim.name)
        if claim.groups:
            facts |= negative(claim, rng)
        if kind := question.called(("thing",)):
            facts["descriptions"] = descriptions(kind)
        return facts


def kinds_of(scene: Scene) -> set[str]:
    """Kinds of a scene's things."""
    return {group.kind for group in scene.groups}


def other(values: Any, without: set[Any], rng: random.Random) -> Any:
    """One of some values, and none of those."""
    return rng.choice([value for value in values if value not in without])


def wronged(group: Group, rng: random.Random) -> Group:
    """The group with another colour or number."""
    if rng.random() < 0.5:
        return replace(group, colour=other(COLOURS, {group.colour}, rng))
    return replace(group, count=other((1, 2, 3, 4), {group.count}, rng))


def compared(claim: OracleQuestion, scene: Scene | None) -> tuple[int, list[str]]:
    """(things that are right, what is wrong) of a text about a scene; without one, of the text by
    itself.
    """
    if scene is None:
        return len(claim.groups), []
    truth = {group.kind: group for group in scene.groups}
    right, wrong = 0, []
    for group in claim.groups:
        true = truth.get(group.kind)
        if true is None:
            wrong.append(f"there is no {group.kind}")
        elif (true.colour, true.count) != (group.colour, group.count):
            wrong.append(f"the picture shows {english_group(true)}, not {english_group(group)}")
        else:
            right += 1
    if claim.place and claim.place != scene.place:
        wrong.append(f"it is not {EN_PLACES[claim.place]}")
    return right, wrong


def merged(raw: OracleQuestion, seen: str) -> str:
    """One caption out of a web text and a caption: the caption, and the name that the web text
    knows where both tell of the same things.
    """
    fits = bool(raw.kinds() & told_by(seen).kinds())
    return fused_caption(seen, raw.name if fits else None)


def shortened(claim: OracleQuestion) -> str:
    """The first thing, and where it is."""
    if not claim.groups:
        return "a picture"
    place = f" {EN_PLACES[claim.place]}" if claim.place else ""
    return f"{english_group(claim.groups[0])}{place}"


def negative(claim: OracleQuestion, rng: random.Random) -> dict[str, Any]:
    """A caption that is wrong in one attribute, and which."""
    first = claim.groups[0]
    colour = other(COLOURS, {first.colour}, rng)
    changed = replace(claim, groups=(replace(first, colour=colour), *claim.groups[1:]))
    text = " and ".join(english_group(group) for group in changed.groups)
    place = f" {EN_PLACES[claim.place]}" if claim.place else ""
    return {
        "negative": text + place,
        "removed": first.colour,
        "inserted": colour,
        "kind": "colour",
    }


def value_of(name: str, schema: dict[str, Any], facts: dict[str, Any], rng: random.Random) -> Any:
    """The value of a property: by its name where the oracle knows it, else by its type."""
    kinds: dict[str, Callable[[], Any]] = {
        "integer": lambda: within(int(facts["score"]), schema),
        "number": lambda: within(float(facts["score"]), schema),
        "boolean": lambda: facts["score"] >= 4,
        "array": lambda: [],
        "object": lambda: {
            n: value_of(n, inner, facts, rng) for n, inner in schema.get("properties", {}).items()
        },
        "string": lambda: str(facts.get("refined") or facts["reasons"]),
    }
    given = schema.get("type")
    kind = next((k for k in given if k != "null"), "string") if isinstance(given, list) else given
    value = facts.get(name)
    if "enum" in schema:
        return value if value in schema["enum"] else schema["enum"][0]
    if (kind == "string" and isinstance(value, str)) or (
        kind == "array" and isinstance(value, list)
    ):
        return value
    if kind in ("integer", "number") and isinstance(value, int):
        return within(value, schema)
    return kinds.get(str(kind), kinds["string"])()


def within(value: Any, schema: dict[str, Any]) -> Any:
    """A number within the bounds of its schema."""
    return min(max(value, schema.get("minimum", value)), schema.get("maximum", value))


def broken(text: str, values: dict[str, Any], rng: random.Random) -> str:
    """JSON that is cut, that lacks a property, or that is only talked about."""
    way = rng.randrange(3)
    if way == 0:
        return text[: max(1, len(text) - 1 - rng.randrange(max(1, len(text) // 2)))]
    if way == 1 and values:
        return json.dumps(dict(list(values.items())[:-1]), ensure_ascii=False)
    return "Let me think about this. The answer is not easy to give."
