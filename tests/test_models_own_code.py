"""Checkpoints that bring code of their own, made up in the way of JinaCLIP (`AutoModel` with both
features) and of Phi-3.5 vision (`AutoModelForCausalLM` that sees): refused unless trusted, right
where they are, and refused where their code is asked in another way.
"""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.later import tensors
from tests.tiny import built, pictures

pytestmark = pytest.mark.filterwarnings("ignore")
CONFIG = """
from transformers import {base}
class OwnConfig({base}):
    model_type = "own_{base}"
"""
TOWERS = """
from transformers import CLIPModel
from .configuration_own import OwnConfig
class OwnModel(CLIPModel):
    config_class = OwnConfig
    def get_image_features(self, *inputs, **named):
        return super().get_image_features(*inputs, **named).pooler_output  # as code before 5 did
"""
OTHER_TOWERS = """
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def encode_image(self, pixel_values): ...
    def encode_text(self, input_ids): ...
"""
TALKER = """
from transformers import LlavaForConditionalGeneration
from .configuration_own import OwnConfig
class OwnModel(LlavaForConditionalGeneration):
    config_class = OwnConfig
"""


def own(native: str, place: Path, base: str, code: str, auto: str) -> Path:
    """A copy of a tiny model under a type that only its own code knows."""
    shutil.copytree(native, place)
    config = json.loads((place / "config.json").read_text())
    config |= {"model_type": f"own_{base}", "architectures": ["OwnModel"]}
    config |= {"auto_map": {"AutoConfig": "configuration_own.OwnConfig", auto: "modeling.OwnModel"}}
    (place / "config.json").write_text(json.dumps(config))
    (place / "configuration_own.py").write_text(CONFIG.format(base=base))
    (place / "modeling.py").write_text(code)
    return place


def rows() -> pa.Table:
    import families

    images = [families.png(image) for image in pictures()[1:4]]
    return pa.table({"image": images, "text": ["a red car", "two dogs on a beach", "x"]})


def scores(model: object, trusted: bool = False) -> list[float]:
    stage = ClipStage(ClipConfig(model=str(model), dtype="float32", trust_remote_code=trusted))
    assert stage.examine()
    stage.setup()
    found = stage(rows())["clip_score"].to_pylist()
    stage.close()
    return found


def captioner(model: object, trusted: bool = False) -> CaptionStage:
    keys = {"dtype": "float32", "max_new_tokens": 6, "prompt": "Say {text}"}
    return CaptionStage(CaptionConfig(model=str(model), trust_remote_code=trusted, **keys))


def answers(stage: CaptionStage) -> list[str]:
    assert stage.examine()
    stage.setup()
    found = stage(rows())["caption"].to_pylist()
    stage.close()
    return found


def test_towers_of_own_code_score_as_those_of_transformers(tmp_path: Path) -> None:
    native = built("clip", tmp_path)
    place = own(native, tmp_path / "own", "CLIPConfig", TOWERS, "AutoModel")
    with pytest.raises(PairmillError, match="set `trust_remote_code: true` if it may run here"):
        scores(place)
    assert scores(place, trusted=True) == pytest.approx(scores(native), abs=1e-6)


def test_towers_of_own_code_without_the_usual_features_are_refused(tmp_path: Path) -> None:
    native = built("clip", tmp_path)
    place = own(native, tmp_path / "own", "CLIPConfig", OTHER_TOWERS, "AutoModel")
    with pytest.raises(PairmillError, match="OwnModel, which has not both an image and a text"):
        scores(place, trusted=True)


def test_captioner_of_own_code_answers_as_that_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, LlavaForConditionalGeneration

    native = built("llava", tmp_path)
    place = own(native, tmp_path / "own", "LlavaConfig", TALKER, "AutoModelForCausalLM")
    config = AutoConfig.from_pretrained(place, trust_remote_code=True)
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=True)
    model.load_state_dict(LlavaForConditionalGeneration.from_pretrained(native).state_dict())
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    tensors.save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PairmillError, match="set `trust_remote_code: true` if it may run here"):
        captioner(place).examine()
    assert answers(captioner(place, trusted=True)) == answers(captioner(native))


def test_captioner_whose_code_is_asked_in_its_own_way_is_refused(tmp_path: Path) -> None:
    native = built("llava", tmp_path)
    place = own(native, tmp_path / "own", "LlavaConfig", TALKER, "AutoModel")
    with pytest.raises(PairmillError, match="asked in a way of its own; take the family's check"):
        captioner(place, trusted=True).examine()


PROCESSOR = """
from transformers import ProcessorMixin
class OwnProcessor(ProcessorMixin):
    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer)
    def __call__(self, *inputs, **named):
        raise NotImplementedError("use process")
    def process(self, images, text): ...
"""


@pytest.mark.parametrize(("code", "fault"), [
    (None, "has no processor for images"),
    (PROCESSOR, "processor does not take 1 image.* and a text: NotImplementedError: use process"),
])  # fmt: skip
def test_processor_that_takes_no_picture_as_transformers_has_it_is_refused(
    tmp_path: Path, code: str | None, fault: str
) -> None:
    """A tokenizer alone (InternVL's first checkpoints) would answer without a look at the picture;
    Molmo's first processor has a method of its own.
    """
    native = built("llava", tmp_path)
    place = own(native, tmp_path / "own", "LlavaConfig", TALKER, "AutoModelForCausalLM")
    described = json.loads((place / "processor_config.json").read_text())
    (place / "processor_config.json").unlink()
    words = json.loads((place / "tokenizer_config.json").read_text())
    words.pop("processor_class", None)
    (place / "tokenizer_config.json").write_text(json.dumps(words))
    if code is not None:
        described["auto_map"] = {"AutoProcessor": "processing_own.OwnProcessor"}
        described["processor_class"] = "OwnProcessor"
        (place / "processor_config.json").write_text(json.dumps(described))
        (place / "processing_own.py").write_text(code)
    with pytest.raises(PairmillError, match=fault):
        captioner(place, trusted=True).examine()
