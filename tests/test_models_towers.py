"""Two-tower models of later families, and models that are near to one: right, or refused with what
to take instead.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pairmill.captioners.config import CaptionConfig
from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.models.check import described
from pairmill.models.load import Spec
from pairmill.models.two_towers import TransformersTowers
from pairmill.plan.references import resolve_references
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def test_text_of_aimv2_has_one_vector_whatever_texts_are_beside_it(folder: Path) -> None:
    """transformers' text tower sees all of a text where no text of a batch is padded."""
    towers = TransformersTowers("s", Spec(built("aimv2", folder), dtype="float32"))
    short, long = "a red car", "two dogs on a beach at night"
    together = towers.of_texts(towers.words([short, long]))
    alone = np.concatenate([towers.of_texts(towers.words([text])) for text in (short, long)])
    assert np.abs(together - alone).max() < 1e-4


@pytest.mark.parametrize(("kind", "fault"), [
    ("x_clip", "makes a vector of a film, not of a picture"),
    ("videoprism", "makes a vector of a film, not of a picture"),
    ("bridgetower_itm", "the stage `match` scores pairs by such a head"),
])  # fmt: skip
def test_model_near_to_two_towers_is_refused(folder: Path, kind: str, fault: str) -> None:
    with pytest.raises(PairmillError, match=fault):
        ClipStage(ClipConfig(model=built(kind, folder))).examine()


@pytest.mark.parametrize("kind", ["BlipForConditionalGeneration", "BlipForQuestionAnswering"])
def test_blip_that_writes_is_no_two_towers_and_blip_with_projections_is(
    folder: Path, kind: str
) -> None:
    place = Path(built("blip_towers", folder))
    stage = ClipStage(ClipConfig(model=str(place), dtype="float32"))
    assert "BlipModel with BlipProcessor" in stage.examine()[0]
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"architectures": [kind]}))
    with pytest.raises(PairmillError, match=f"is {kind}, which writes texts .* `caption` asks it"):
        stage.examine()
    (place / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("kind", "mended"), [("clip", True), ("siglip", False)])
def test_texts_of_a_tokenizer_that_pads_before_them_do_not_depend_on_each_other(
    folder: Path, tmp_path: Path, kind: str, mended: bool
) -> None:
    place = Path(shutil.copytree(built(kind, folder), tmp_path / kind))
    config = json.loads((place / "tokenizer_config.json").read_text())
    (place / "tokenizer_config.json").write_text(json.dumps({**config, "padding_side": "left"}))
    towers = TransformersTowers("s", Spec(str(place), dtype="float32"))
    texts = ["a red car", "two dogs on a beach at night"]
    together = towers.of_texts(towers.words(texts))
    alone = np.concatenate([towers.of_texts(towers.words([text])) for text in texts])
    assert np.abs(together - alone).max() < 1e-4
    facts = resolve_references(ClipConfig(model=str(place)))[1]["model"]
    assert facts.get("mended") == ("padded-behind-1" if mended else None)
    assert "mended" not in resolve_references(CaptionConfig(model=str(place)))[1]["model"]


def test_folder_with_an_adapter_beside_its_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    """transformers puts the adapter on top where peft is installed, and else passes over it."""
    place = Path(shutil.copytree(built("clip", folder), tmp_path / "both"))
    told = {"base_model_name_or_path": "openai/clip-vit-base-patch32", "peft_type": "LORA"}
    (place / "adapter_config.json").write_text(json.dumps(told))
    with pytest.raises(PairmillError, match="own and an adapter .* hang on whether `peft` is"):
        ClipStage(ClipConfig(model=str(place))).examine()
    spec = Spec(str(place))
    assert described("s", spec, by_transformers=False) == str(place)  # another engine's to know
