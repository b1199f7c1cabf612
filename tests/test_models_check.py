"""What is said of a model before anything is computed: whole, of the right kind, trusted, and asked
as it can be asked.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import typed
from tests.later import tensors, torch
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def caption(model: str, **options: object) -> CaptionStage:
    return CaptionStage(CaptionConfig(model=model, dtype="float32", **options))


def changed(source: str, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def with_a_hole(source: str, target: Path) -> str:
    place = changed(source, target) / "model.safetensors"
    weights = tensors.load_file(place)
    names = sorted(n for n in weights if "layers.1" in n)
    del weights[names[0]]
    weights[names[1]] = weights[names[1]].flatten()[:3].clone()
    tensors.save_file(weights, place, metadata={"format": "pt"})
    return str(target)


LARGEST_FP8 = 448


def quantised(source: str, target: Path) -> str:
    """A copy of a text model with the weights of its projections in fp8, one scale each."""
    place = changed(source, target)
    weights = tensors.load_file(place / "model.safetensors")
    weights = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
    for name in [n for n in weights if n.endswith("proj.weight")]:
        scale = weights[name].abs().max().float() / LARGEST_FP8
        weights[name] = (weights[name] / scale).to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = scale.reshape(1, 1)
    tensors.save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((place / "config.json").read_text())
    method = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    config |= {"quantization_config": {**method, "activation_scheme": "dynamic"}}
    (place / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    return str(place)


def dequantised(model: str, name: str) -> torch.Tensor:
    """A stored weight as it was before it was quantised, in bfloat16."""
    weights = tensors.load_file(f"{model}/model.safetensors")
    scale = weights.get(f"{name}_scale_inv", torch.tensor(1.0))
    return (weights[name].float() * scale).to(torch.bfloat16).float()


def in_eight_bits(source: str, folder: Path) -> tuple[str, str]:
    """Two copies of a text model with projections rounded to 255 steps a row: as a checkpoint of
    compressed-tensors holds them, and as plain numbers.
    """
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    packed, plain = (changed(source, folder / name) for name in ("packed", "plain"))
    weights = tensors.load_file(packed / "model.safetensors")
    rounded = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
    small = dict(rounded)
    for name in [n for n in weights if n.endswith("proj.weight")]:
        scale = (rounded[name].float().abs().amax(1, keepdim=True) / 127).to(torch.bfloat16)
        steps = (rounded[name].float() / scale.float()).round().clamp(-127, 127)
        del small[name]
        small[f"{name}_packed"] = pack_to_int32(steps.to(torch.int8), 8)
        small[f"{name}_shape"] = torch.tensor(steps.shape)
        small[f"{name}_scale"] = scale
        rounded[name] = steps.to(torch.bfloat16) * scale
    tensors.save_file(small, packed / "model.safetensors", metadata={"format": "pt"})
    tensors.save_file(rounded, plain / "model.safetensors", metadata={"format": "pt"})
    numbers = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    method = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": numbers}},
        "ignore": ["lm_head"],
    }
    config = json.loads((packed / "config.json").read_text()) | {"dtype": "bfloat16"}
    (plain / "config.json").write_text(json.dumps(config))
    (packed / "config.json").write_text(json.dumps({**config, "quantization_config": method}))
    return str(packed), str(plain)


@pytest.mark.parametrize("kind", ["qwen", "clip"])
def test_checkpoint_with_a_hole_is_refused_at_validate_and_at_load(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    model = with_a_hole(built(kind, folder), tmp_path / "hole")
    stage = caption(model) if kind == "qwen" else ClipStage(ClipConfig(model=model))
    for look in (stage.examine, stage.setup):
        with pytest.raises(PairmillError, match="no weights for .* and has a wrong shape of"):
            look()


def test_whole_model_is_told_with_class_device_precision_and_way_of_asking(folder: Path) -> None:
    lines = caption(built("qwen", folder)).examine()
    assert "Qwen2_5_VLForConditionalGeneration with Qwen2_5_VLProcessor" in lines[0]
    assert "float32" in lines[0]
    assert lines[1] == "asked by chat template"
    assert "without a chat template" in caption(built("paligemma", folder)).examine()[1]
    assert "CLIPModel with CLIPProcessor" in ClipStage(ClipConfig(model=built("clip", folder))).examine()[0]  # fmt: skip


def test_folder_without_processor_or_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    place = changed(built("qwen", folder), tmp_path / "bare")
    for name in ("processor_config.json", "preprocessor_config.json"):
        (place / name).unlink(missing_ok=True)
    with pytest.raises(PairmillError, match="rocessor"):
        caption(str(place)).examine()
    place = changed(built("clip", folder), tmp_path / "hollow")
    (place / "model.safetensors").unlink()
    with pytest.raises(PairmillError, match="no whole weights"):
        ClipStage(ClipConfig(model=str(place))).examine()


def test_model_of_another_kind_is_refused_with_a_word(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PairmillError, match="text model .* sees no images; set `image: null`"):
        caption(built("text", folder)).examine()
    with pytest.raises(PairmillError, match="clip` needs a two-tower model"):
        ClipStage(ClipConfig(model=built("qwen", folder))).examine()
    place = changed(built("clip", folder), tmp_path / "itm")
    config = json.loads((place / "config.json").read_text())
    config["architectures"] = ["BlipForImageTextRetrieval"]
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(PairmillError, match="matching head"):
        ClipStage(ClipConfig(model=str(place))).setup()


def test_checkpoint_quantised_to_fp8_is_computed_and_told_on_a_cpu(
    folder: Path, tmp_path: Path
) -> None:
    model = quantised(built("text", folder), tmp_path / "fp8")
    stage = caption(model, prompt="Say {text}", image=None, device="cpu", max_new_tokens=8)
    assert "quantised (fp8)" in stage.examine()[0]
    stage.setup()
    assert stage.engine.note == "cpu bfloat16, from weights quantised by fp8"
    held = stage.engine.engine.loaded.model.state_dict()
    for name in tensors.load_file(f"{model}/model.safetensors"):
        if name in held:
            assert torch.equal(held[name].float(), dequantised(model, name)), name
    rows = pa.table({"text": ["a red ball", "a boat at night"]})
    first, second = stage(rows)["caption"].to_pylist()
    assert first != second
    assert None not in (first, second)


def test_checkpoint_quantised_to_eight_bits_answers_as_its_numbers_do(
    folder: Path, tmp_path: Path
) -> None:
    packed, plain = in_eight_bits(built("text", folder), tmp_path)
    told, answers = [], []
    for model, dtype in ((packed, "auto"), (plain, "bfloat16")):
        options = {"prompt": "Say {text}", "image": None, "device": "cpu", "max_new_tokens": 8}
        stage = CaptionStage(CaptionConfig(model=model, dtype=dtype, **options))
        told.append(stage.examine()[0])
        stage.setup()
        told.append(stage.engine.note)
        answers.append(stage(pa.table({"text": ["a red ball", "a boat"]}))["caption"].to_pylist())
        stage.close()
    assert "quantised (compressed-tensors)" in told[0]
    assert told[1] == "cpu quantised (compressed-tensors)"
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == 2


def test_system_turn_that_a_model_cannot_take_is_told(folder: Path) -> None:
    with pytest.raises(PairmillError, match="no chat template, and so no system turn"):
        caption(built("paligemma", folder), system="Be brief.").examine()
    assert caption(built("qwen", folder), system="Be brief.").examine()


def test_code_of_a_checkpoint_needs_to_be_trusted_and_is_named(tmp_path: Path) -> None:
    place = tmp_path / "own"
    place.mkdir()
    (place / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}})
    )
    (place / "own.py").write_text(
        "from transformers import PretrainedConfig\n"
        "class OwnConfig(PretrainedConfig):\n    model_type = 'own'\n"
    )
    with pytest.raises(PairmillError, match="trust_remote_code: true"):
        caption(str(place)).examine()
    with pytest.raises(PairmillError, match="of type 'own'"):  # its config was run
        caption(str(place), trust_remote_code=True).examine()
    one, other = (caption(str(place), trust_remote_code=t).config for t in (True, False))
    assert one.model_dump()["trust_remote_code"] != other.model_dump()["trust_remote_code"]


@pytest.mark.slow
def test_validate_and_run_tell_a_hole_before_work(
    folder: Path, tmp_path: Path, pairs: Path
) -> None:
    model = with_a_hole(built("qwen", folder), tmp_path / "hole")
    (tmp_path / "p.yaml").write_text(
        f"name: h\nsource: {{type: parquet, path: {pairs.name}}}\nstages:\n"
        f"  - {{stage: text_rules}}\n  - {{stage: caption, model: {model}}}\noutputs: []\n"
    )
    told = typed("validate", "p.yaml", cwd=tmp_path)
    assert told.returncode == 2
    assert "p.yaml:5:" in told.stderr
    assert "no weights for" in told.stderr
    ran = typed("run", "p.yaml", "--local", cwd=tmp_path)
    assert ran.returncode == 1
    assert "no weights for" in ran.stderr
    assert not list((tmp_path / "workspace").glob("columns/*/shard*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flava", "blip2"])
def test_towers_without_one_vector_of_picture_and_text_are_refused(folder: Path, kind: str) -> None:
    stage = ClipStage(ClipConfig(model=built(kind, folder), dtype="float32"))
    with pytest.raises(PairmillError, match="do not make one vector of a picture and one of a"):
        stage.examine()


@pytest.mark.slow
def test_package_that_quantised_weights_need_is_named_as_it_is_installed(
    folder: Path, tmp_path: Path
) -> None:
    """`gptqmodel` is no part of an extra."""
    target = changed(built("text", folder), tmp_path / "gptq")
    config = json.loads((target / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (target / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        PairmillError, match="'gptqmodel', .* not installed: pip install --no-build-iso.* gptqmodel"
    ):
        caption(str(target), prompt="x", image=None).examine()


@pytest.mark.slow
def test_unknown_token_in_an_answer_is_no_mark_of_a_thought(folder: Path) -> None:
    """A tokenizer without `</think>` gives the id of its unknown token for it."""
    stage = caption(built("llava", folder), prompt="x")
    stage.setup()
    engine = stage.engine.engine
    first, last = engine.tokenizer("red car", add_special_tokens=False)["input_ids"][::3][:2]
    answer = engine.answers.answer([first, engine.tokenizer.unk_token_id, last], False)
    words = [engine.tokenizer.decode([token]) for token in (first, last)]
    assert (answer.text, answer.reasoning) == ("".join(words).strip(), None)
    stage.close()
