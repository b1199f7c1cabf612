"""The demo's oracle: it knows the world's pictures and texts, and errs as often as it says."""

import io
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from itertools import pairwise

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from pairmill.demo.oracle import asking
from pairmill.demo.oracle_answers import REFUSAL, Oracle, Question, Rates
from pairmill.demo.oracle_reading import Pictures, told_by
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.quality import attributes_right
from pairmill.demo.scenes import Scene, random_scene, rng_for
from pairmill.demo.texts import DETAILED_PROMPT, FUSION_PROMPT, SHORT_PROMPT, alt_text
from pairmill.demo.words import LANGUAGES
from pairmill.demo.world import World
from pairmill.images import decode_rgb

SCENES = [random_scene(rng_for("oracle test", i)) for i in range(400)]
NONE = Rates(0, 0, 0, 0)
VERDICT = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "label": {"type": "string", "enum": ["match", "partly", "mismatch"]},
        "reasons": {"type": "string"},
    },
    "required": ["score", "label", "reasons"],
}


@pytest.mark.slow
def test_pictures_are_known_again_in_other_sizes_and_encodings_and_strange_ones_are_not() -> None:
    world = World(80, 3)
    pictures = Pictures(world)
    for index in range(world.rows):
        image = decode_rgb(picture_bytes(world, world.row(index)))
        image.thumbnail((200, 200))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=60)
        assert pictures.scene_of(Image.open(out)) == world.row(index).scene
    assert pictures.scene_of(Image.effect_noise((300, 200), 90)) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_read_in_every_language_of_the_world(language: str) -> None:
    for i, scene in enumerate(SCENES[:100]):
        told = told_by(alt_text(scene, language, rng_for(i), "Kalodor" if i % 2 else None))
        assert {(g.kind, g.colour, g.count) for g in told.groups} == {
            (g.kind, g.colour, g.count) for g in scene.groups
        }
        assert (told.place, told.name) == (scene.place, "Kalodor" if i % 2 else None)
        assert told.language == language


def share(fine: Callable[[Scene], bool]) -> float:
    return sum(map(fine, SCENES)) / len(SCENES)


def right(caption: str, scene: Scene) -> bool:
    groups = (
        [g.kind for g in scene.groups],
        [g.colour for g in scene.groups],
        [g.count for g in scene.groups],
    )
    found, mentioned = attributes_right(caption, *groups)
    return found == mentioned > 0


def test_captions_are_true_but_for_the_errors_that_were_asked_for() -> None:
    true = Oracle(0, NONE)
    for prompt in (SHORT_PROMPT, DETAILED_PROMPT):
        assert all(right(true.answer(Question(prompt, scenes=(s,))), s) for s in SCENES)

    def told(rates: Rates, scene: Scene, seed: int = 0) -> str:
        return Oracle(1, rates).answer(Question(SHORT_PROMPT, scenes=(scene,), seed=seed))

    wrong = share(lambda s: not right(told(Rates(0.2, 0, 0, 0), s), s))
    invented = share(lambda s: ", with " in told(Rates(0, 0.1, 0, 0), s))
    refused = share(lambda s: told(Rates(0, 0, 0, 0.1), s) == REFUSAL)
    assert (wrong, invented, refused) == pytest.approx((0.2, 0.1, 0.1), abs=0.05)
    rates = Rates()
    assert all(told(rates, s) == told(rates, s) for s in SCENES)
    assert share(lambda s: told(rates, s, 1) != told(rates, s, 2)) > 0.2


def test_verdicts_tell_true_captions_from_wrong_ones_and_some_are_no_json() -> None:
    def verdict(scene: Scene, shown: Scene, rates: Rates = NONE) -> str:
        caption = Oracle(0, NONE).answer(Question(SHORT_PROMPT, scenes=(scene,)))
        asked = f"Caption: {caption}\nDoes the caption fit the image?"
        return Oracle(0, rates).answer(Question(asked, scenes=(shown,), schema=VERDICT))

    for scene, shown in pairwise(SCENES):
        assert json.loads(verdict(scene, scene))["label"] == "match"
        assert json.loads(verdict(scene, shown))["label"] != "match" or scene == shown

    def fits(scene: Scene) -> bool:
        try:
            found = json.loads(verdict(scene, scene, Rates(0, 0, 0.5, 0)))
        except ValueError:
            return False
        return Draft202012Validator(VERDICT).is_valid(found)

    assert 1 - share(fits) == pytest.approx(0.5, abs=0.06)


def test_a_merged_caption_keeps_the_name_of_a_text_about_the_same_things_only() -> None:
    scene, other = (
        SCENES[0],
        next(
            s for s in SCENES if not {g.kind for g in s.groups} & {g.kind for g in SCENES[0].groups}
        ),
    )
    caption = Oracle(0, NONE).answer(Question(SHORT_PROMPT, scenes=(scene,)))
    for about, kept in ((scene, True), (other, False)):
        raw = alt_text(about, "de", rng_for(1), "Kalodor")
        merged = Oracle(0, NONE).answer(Question(FUSION_PROMPT.format(text=raw, caption=caption)))
        assert ("Kalodor" in merged, caption in merged) == (kept, True)


@pytest.mark.parametrize("language", ["German", "ja"])
def test_translations_say_the_same_in_the_language_that_is_asked_for(language: str) -> None:
    for i, scene in enumerate(SCENES[:60]):
        text = alt_text(scene, "fr", rng_for(i), "Kalodor")
        asked = f"Translate into {language}. Names stay as they are.\n{text}"
        told = told_by(Oracle(0, NONE).answer(Question(asked)))
        assert {g.kind for g in told.groups} == {g.kind for g in scene.groups}
        assert (told.name, told.language) == ("Kalodor", {"German": "de"}.get(language, language))


def test_oracle_says_where_it_is_as_a_pipeline_file_wants_it() -> None:
    command = [sys.executable, "-m", "pairmill.demo.oracle", "--rows", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as oracle:
        try:
            assert oracle.stdout is not None
            key, base_url = oracle.stdout.readline().split()
            assert key == "base_url:"
            with urllib.request.urlopen(f"{base_url}/models") as answer:
                assert json.load(answer)["data"][0]["id"] == "oracle"
        finally:
            oracle.terminate()


def test_oracle_that_does_not_start_is_told() -> None:
    with pytest.raises(RuntimeError, match="did not start"), asking(2, nonsense=1):
        pass
