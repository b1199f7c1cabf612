"""Checkpoints that are cut off, mixed up or lack files: told by name, with what to do, before any
row is computed.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.models.files import OPEN_CLIP_WEIGHTS, missing_weights
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import OPEN
from tests.later import tensors, torch
from tests.test_models_check import in_eight_bits, quantised
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")
WEIGHTS = "model.safetensors"
TEXTS = ["a red ball", "a boat", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def text(folder: Path, tmp_path: Path) -> Path:
    """A copy of a text model, to be spoiled."""
    return Path(shutil.copytree(built("text", folder), tmp_path / "text"))


@pytest.fixture
def clip(folder: Path, tmp_path: Path) -> Path:
    """A copy of a model with two towers."""
    return Path(shutil.copytree(built("clip", folder), tmp_path / "clip"))


def stage(model: Path | str, **options: object) -> CaptionStage:
    values = {"model": str(model), "dtype": "float32", "max_new_tokens": 4, "prompt": "Say {text}"}
    return CaptionStage(CaptionConfig(**{**values, "image": None, **options}))


def towers(model: Path) -> ClipStage:
    return ClipStage(ClipConfig(model=str(model), dtype="float32"))


def refused(fault: str, make: Callable[[], CaptionStage | ClipStage]) -> None:
    """At `validate`, and where a worker loads the model."""
    for look in ("examine", "setup"):
        with pytest.raises(PairmillError, match=fault):
            getattr(make(), look)()


def answers(model: Path, texts: list[str] = TEXTS) -> pa.Table:
    one = stage(model)
    one.setup()
    OPEN.append(one)
    return one(pa.table({"text": texts}))


def rewritten(model: Path, change: Callable[[dict], None], name: str = WEIGHTS) -> None:
    """Changes a file of weights, or an object of JSON."""
    if name.endswith(".json"):
        told = json.loads((model / name).read_text())
        change(told)
        (model / name).write_text(json.dumps(told))
        return
    weights = tensors.load_file(model / name)
    change(weights)
    tensors.save_file(weights, model / name, metadata={"format": "pt"})


@pytest.mark.parametrize(("kept", "fault"), [
    (0.6, r"is cut off: it has [\d,]+ of [\d,]+ bytes; fetch it again"),
    (0.0005, "is cut off: it has .* not even its header is whole"),
    (0.0, "is empty; fetch it again"),
])  # fmt: skip
def test_file_of_weights_that_is_cut_off_is_named(text: Path, kept: float, fault: str) -> None:
    whole = (text / WEIGHTS).read_bytes()
    (text / WEIGHTS).write_bytes(whole[: int(len(whole) * kept)])
    refused(f"{WEIGHTS} {fault}", lambda: stage(text))


def test_web_page_in_the_place_of_weights_is_named(text: Path) -> None:
    (text / WEIGHTS).write_text("<html>Not found</html>" * 10)
    refused(f"{WEIGHTS} is no safetensors file", lambda: stage(text))


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_pickle_that_is_more_than_weights_is_not_run(text: Path, tmp_path: Path) -> None:
    torch.save({"a": Touch(tmp_path / "ran")}, text / "pytorch_model.bin")
    (text / WEIGHTS).unlink()
    refused("hold more than weights.*take a checkpoint in safetensors", lambda: stage(text))
    assert not (tmp_path / "ran").exists()


def test_towers_without_their_tokenizer_are_refused(clip: Path) -> None:
    """transformers makes an empty one, to which every text is the same."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (clip / name).unlink()
    refused("tokenizer knows no words", lambda: towers(clip))


def test_missing_description_of_pictures_is_told(clip: Path) -> None:
    (clip / "processor_config.json").unlink()
    refused("no file says how its pictures are prepared", lambda: towers(clip))


def test_tokenizer_of_a_larger_model_is_refused(text: Path, clip: Path) -> None:
    def fewer(weights: dict) -> None:
        for name in weights:
            if "embed_tokens" in name or "lm_head" in name or "token_embedding" in name:
                weights[name] = weights[name][:200].clone()

    for model in (text, clip):
        rewritten(model, fewer)
    rewritten(text, lambda c: c.update(vocab_size=200), "config.json")
    rewritten(clip, lambda c: c["text_config"].update(vocab_size=200), "config.json")
    fault = "has weights for 200 tokens, and its tokenizer makes 320"
    refused(fault, lambda: stage(text))
    refused(fault, lambda: towers(clip))


def test_template_of_a_text_model_may_stand_in_a_file_of_json(text: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(text, tmp_path / "other"))
    template = (other / "chat_template.jinja").read_text()
    (other / "chat_template.jinja").unlink()
    (other / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert "asked by chat template" in stage(other).examine()
    assert answers(other)["caption"] == answers(text)["caption"]


def test_prompt_that_is_longer_than_the_model_reads_fails_alone(text: Path) -> None:
    found = answers(text, [TEXTS[0], "w " * 4000, TEXTS[1]])
    assert found["error"][1].as_py()["class"] == "too_long"
    assert "the model reads 4096" in found["error"][1].as_py()["message"]
    assert found["caption"].to_pylist()[::2] == answers(text)["caption"].to_pylist()[:2]


def test_pictures_are_not_left_out_where_no_processor_takes_them(
    folder: Path, tmp_path: Path
) -> None:
    """Of a processor that transformers does not know it makes the tokenizer alone."""
    model = Path(shutil.copytree(built("qwen", folder), tmp_path / "qwen"))
    rewritten(model, lambda c: c.update(processor_class="Other"), "processor_config.json")
    refused("has no processor for images", lambda: stage(model, image="image"))


@pytest.mark.parametrize("method", ["fp8", "compressed-tensors"])
def test_hole_in_quantised_weights_is_told_before_work(
    folder: Path, tmp_path: Path, method: str
) -> None:
    made = built("text", folder)
    model = Path(
        quantised(made, tmp_path / "fp8") if method == "fp8" else in_eight_bits(made, tmp_path)[0]
    )
    assert (
        f"Qwen2ForCausalLM with Qwen2Tokenizer; cpu, quantised ({method})"
        in (stage(model, device="cpu").examine()[0])
    )

    def hole(weights: dict) -> None:
        for name in [n for n in weights if "layers.1.self_attn.q_proj.weight" in n]:
            del weights[name]

    rewritten(model, hole)
    refused(r"no weights for model.layers.1.self_attn.q_proj", lambda: stage(model, device="cpu"))


def test_gguf_is_for_a_server(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    for model in (tmp_path, tmp_path / "m.gguf"):
        with pytest.raises(PairmillError, match="GGUF files are for a server"):
            stage(model).examine()


def test_adapter_without_its_weights_and_one_on_packed_weights_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora/adapter_config.json").write_text('{"peft_type": "LORA"}')
    adapter = str(tmp_path / "lora")
    plain = built("text", folder)
    refused(
        "has no weights: adapter_model.safetensors is missing",
        lambda: stage(plain, adapter=adapter),
    )
    packed, _ = in_eight_bits(plain, tmp_path)
    with pytest.raises(PairmillError, match="puts no adapter on .* by compressed-tensors"):
        stage(packed, adapter=adapter).examine()


def test_adapter_stands_beside_weights_that_are_quantised(folder: Path) -> None:
    """Merged, its sum with them would be rounded to a few bits."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    from pairmill.models.load import with_adapter

    for told in (None, {"quant_method": "bitsandbytes", "load_in_4bit": True}):
        model = AutoModelForCausalLM.from_pretrained(built("text", folder))
        found = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"], r=2))
        model.config.quantization_config = told
        merged = with_adapter(found)
        assert hasattr(merged, "generate")
        assert any("lora_" in name for name, _ in merged.named_parameters()) == bool(told)


@pytest.mark.parametrize(("change", "fault"), [
    (lambda w: [w.pop(n) for n in list(w) if "resblocks.1" in n], r"no weights for .*\(24 in all\)"),
    (None, "open_clip_model.safetensors is cut off"),
])  # fmt: skip
def test_checkpoint_of_open_clip_with_a_hole_is_refused_before_work(
    folder: Path, tmp_path: Path, change: Callable[[dict], object] | None, fault: str
) -> None:
    model = Path(shutil.copytree(built("open_clip", folder), tmp_path / "open_clip"))
    assert "open_clip" in towers(model).examine()[0]
    file = model / "open_clip_model.safetensors"
    if change is None:
        file.write_bytes(file.read_bytes()[:-100])
    else:
        rewritten(model, change, file.name)  # type: ignore[arg-type]
    with pytest.raises(PairmillError, match=fault):
        towers(model).examine()
    if change is not None:
        file = file.rename(model / "model.safetensors")
        with pytest.raises(PairmillError, match=fault):
            towers(model).examine()
    file.unlink()
    with pytest.raises(PairmillError, match="has no whole weights"):
        towers(model).examine()


def test_weights_of_open_clip_have_the_names_that_it_takes_in_its_order(
    folder: Path, tmp_path: Path
) -> None:
    factory = pytest.importorskip("open_clip.factory")
    model = Path(shutil.copytree(built("open_clip", folder), tmp_path / "open_clip"))
    own = model / OPEN_CLIP_WEIGHTS[0]
    for name in OPEN_CLIP_WEIGHTS[1:]:
        own = own.rename(model / name)
        assert missing_weights(str(model)) is None
        assert "open_clip" in towers(model).examine()[0]
    for name in OPEN_CLIP_WEIGHTS[::-1]:
        (model / name).touch()
        assert factory._find_checkpoint_in_dir(model) == str(model / name)
