"""Checkpoints of the wrong kind, broken ones, quantised ones, and adapters: refused before work,
with what to take instead.
"""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.captioners.transformers_engine import Begun, TransformersCaptioner
from pairmill.errors import PairmillError
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import jpeg
from tests.later import tensors, torch, transformers
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")
SIZES = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of a text model, to be spoiled."""
    return Path(shutil.copytree(built("text", folder), tmp_path / "model"))


def stage(model: Path | str, **options: object) -> CaptionStage:
    values = {"model": str(model), "dtype": "float32", "max_new_tokens": 4, "prompt": "Say {text}"}
    return CaptionStage(CaptionConfig(**{**values, "image": None, **options}))


def refused(fault: str, model: Path | str, **options: object) -> None:
    with pytest.raises(PairmillError, match=fault):
        stage(model, **options).examine()


def with_config(model: Path, **keys: object) -> Path:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | keys))
    return model


def answers(model: Path) -> list[str]:
    one = stage(model)
    one.setup()
    told = one(pa.table({"text": ["a red ball", "a boat", "x"]}))["caption"].to_pylist()
    one.close()
    return told


@pytest.mark.parametrize(("family", "sizes"), [
    ("T5", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "decoder_start_token_id": 1}),
    ("Bart", {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4}),
])  # fmt: skip
def test_encoder_and_decoder_of_texts_answers_as_a_direct_call_does(
    copy: Path, family: str, sizes: dict[str, int]
) -> None:
    """BART's class for a decoder alone would lack weights, and T5 has none."""
    import transformers as t
    from tiny_models.parts import awake

    config = getattr(t, f"{family}Config")(vocab_size=320, pad_token_id=1, eos_token_id=0, **sizes)
    model = awake(getattr(t, f"{family}ForConditionalGeneration")(config))
    (copy / "model.safetensors").unlink()
    (copy / "chat_template.jinja").unlink()
    model.save_pretrained(copy)
    words = t.AutoTokenizer.from_pretrained(copy)
    direct = []
    for text in ("a red ball", "a boat", "x"):
        inputs = words(f"Say {text}", return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0]
        direct.append(words.decode(out[1:], skip_special_tokens=True).strip())
    assert answers(copy) == direct


@pytest.mark.parametrize(("kind", "what"), [
    ("BertForMaskedLM", "fills gaps in texts"),
    ("BertForSequenceClassification", "gives classes and no text"),
])  # fmt: skip
def test_model_that_writes_nothing_is_refused_where_one_should_answer(
    copy: Path, kind: str, what: str
) -> None:
    import transformers as t

    config = t.BertConfig(**SIZES, intermediate_size=64)
    getattr(t, kind)(config).save_pretrained(copy)
    refused(f"is {kind}, which {what}; take a model that answers", copy)


def test_types_that_are_not_asked_in_words_are_refused(copy: Path) -> None:
    import transformers as t

    parts = t.ViTConfig(**SIZES), t.GPT2Config(vocab_size=320, n_embd=32, n_layer=1, n_head=4)
    t.VisionEncoderDecoderConfig.from_encoder_decoder_configs(*parts).save_pretrained(copy)
    refused("is asked by tasks, not in words", copy, image="image")
    t.Qwen2_5OmniConfig().save_pretrained(copy)
    refused("answers in speech, too; take a checkpoint of its thinker", copy, image="image")


@pytest.mark.parametrize(("kind", "what"), [
    ("diffusion_gemma", "writes by diffusion"),
    ("instructblipvideo", "looks at films; take InstructBLIP"),
    ("udop", "reads pages by the words and places"),
    ("evolla", "reads proteins"),
    ("pi0", "steers robots"),
    ("reformer", "sorts a prompt's tokens by chance"),
    ("pp_formulanet", "reads formulas and takes no prompt"),
])  # fmt: skip
def test_models_that_no_prompt_alone_asks_are_refused_by_type(
    copy: Path, kind: str, what: str
) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": kind}))
    refused(f"is of type '{kind}', which {what}", copy, image="image")


def test_translator_between_many_languages_is_refused(copy: Path) -> None:
    from pairmill.models.kinds import check_languages

    class NllbTokenizer:
        """Its name is what is looked at."""

    spec = stage(copy).config.spec(1)
    with pytest.raises(PairmillError, match="told by a token into which"):
        check_languages("s", spec, NllbTokenizer(), {})
    check_languages("s", spec, NllbTokenizer(), {"forced_bos_token_id": 7})


@pytest.mark.parametrize(("method", "fault"), [
    ({"quant_method": "hqq"}, "quantised by hqq needs the package 'hqq'"),
    ({"load_in_4bit": True}, "quantised by bitsandbytes needs the package 'bitsandbytes'"),
    ({"quant_method": "quanto"}, "'optimum.quanto', which is not installed: pip install optimum-quanto"),
    ({"quant_method": "modelopt"}, "quantised by modelopt, which transformers does not load; ask a server"),
])  # fmt: skip
@pytest.mark.parametrize("place", ["model", "text_config"])
def test_quantised_weights_that_do_not_load_here_are_told_before_work(
    copy: Path, method: dict[str, object], fault: str, place: str
) -> None:
    told = {"quantization_config": method}
    refused(fault, with_config(copy, **(told if place == "model" else {place: told})))


def test_method_whose_kernels_want_a_gpu_is_told(copy: Path) -> None:
    with_config(copy, quantization_config={"quant_method": "fbgemm_fp8"})
    refused("computed on a GPU alone", copy, device="cpu")
    if not torch.cuda.is_available():
        assert any("want a GPU" in line for line in stage(copy).examine())


def test_layers_that_awq_left_out_by_a_part_of_their_name_are_left_out() -> None:
    import transformers as t
    from transformers.quantizers.quantizers_utils import should_convert_module

    from pairmill.models.quantised import leave_out_parts

    names = ["visual", "lm_head"]
    told = {"quant_method": "awq", "bits": 4, "modules_to_not_convert": names}
    config = t.Qwen2_5_VLConfig(quantization_config=told)
    leave_out_parts(config)
    found = config.quantization_config["modules_to_not_convert"]
    layers = {
        "model.visual.blocks.0.attn.qkv": False,
        "visual.merger.mlp.0": False,
        "lm_head": False,
        "model.language_model.layers.0.self_attn.q_proj": True,
        "model.visually.proj": True,
    }
    assert {name: should_convert_module(name, found) for name in layers} == layers


def test_part_of_the_weights_that_is_missing_is_named(copy: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (copy / "model.safetensors").rename(copy / "model-1.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    refused("1 of 2 parts are missing: model-2.safetensors", copy)
    (copy / "model.safetensors.index.json").write_text("{ no json")
    refused("index.json cannot be read", copy)


def test_weights_in_other_formats(copy: Path) -> None:
    direct = answers(copy)
    torch.save(tensors.load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    other = copy.rename(copy.with_name("bin"))
    assert answers(other) == direct
    (other / "pytorch_model.bin").rename(other / "model.gguf")
    refused("GGUF files are for a server", other)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_pointer_of_git_lfs_is_named(copy: Path, name: str) -> None:
    (copy / name).write_text(POINTER)
    refused(f"{name} is a pointer of Git LFS, not the file; run `git lfs pull`", copy)


def test_names_that_are_no_model(copy: Path) -> None:
    refused("is no folder here", copy / "nowhere")
    refused("is a file; name the folder", copy / "config.json")
    refused("is no id of the hub: write 'Qwen/Qwen3-4B'", "https://huggingface.co/Qwen/Qwen3-4B")
    refused("is no id of the hub: it is written 'owner/name'", "a/b/c/d")
    refused("`revision` is for models of the hub", copy, revision="main")


def lora(model: Path, target: Path, **keys: object) -> str:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    config = peft.LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(target)
    file = target / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))
    return str(target)


@pytest.mark.parametrize(("changed", "fault"), [
    ({"num_hidden_layers": 1}, "the model lacks base_model.model.model.layers.1"),
    ({"num_hidden_layers": 3}, "it has no weights for base_model.model.model.layers.2"),
    ({"hidden_size": 64}, "size mismatch for"),
])  # fmt: skip
def test_adapter_of_another_model_is_refused_before_work(
    copy: Path, tmp_path: Path, changed: dict[str, int], fault: str
) -> None:
    import transformers as t

    adapter = lora(copy, tmp_path / "lora")
    config = t.Qwen2Config.from_pretrained(copy)
    config.layer_types = None
    other = t.Qwen2Config(**{**config.to_dict(), "layer_types": None, **changed})
    t.Qwen2ForCausalLM(other).save_pretrained(copy)
    for look in ("examine", "setup"):
        with pytest.raises(PairmillError, match=f"(?s)does not fit .*{fault}.*it was made for"):
            getattr(stage(copy, adapter=adapter), look)()


def test_adapter_in_the_place_of_a_model_and_of_another_kind(copy: Path, tmp_path: Path) -> None:
    adapter = lora(copy, tmp_path / "lora", peft_type="PROMPT_TUNING")
    refused("it is an adapter; name it in `adapter`, and '.*' in `model`", adapter)
    refused("of the kind PROMPT_TUNING; a LoRA adapter is wanted", copy, adapter=adapter)


def test_padding_that_the_model_has_no_embedding_for_is_another_token(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token was added to pad with, and the model was not made larger: an index that is out of
    range fails on a CPU, and ends a GPU's work.
    """
    plain = answers(copy)
    words = transformers.AutoTokenizer.from_pretrained(copy)
    words.add_special_tokens({"pad_token": "[PAD]"})
    assert words.pad_token_id >= json.loads((copy / "config.json").read_text())["vocab_size"]
    words.save_pretrained(copy)
    sizes: list[int] = []
    generate = TransformersCaptioner.generate

    def counted(engine: TransformersCaptioner, begun: Begun) -> object:
        sizes.append(len(begun.requests))
        return generate(engine, begun)

    monkeypatch.setattr(TransformersCaptioner, "generate", counted)
    assert answers(copy) == plain
    assert sizes == [3]


def test_model_of_one_picture_a_prompt_is_shown_one(folder: Path) -> None:
    """BLIP-2 answered rows with several by their neighbours, others failed with words of torch."""
    model = built("blip2", folder)
    refused("looks at one picture a prompt, and `image` names 2", model, image=["image", "other"])
    one = stage(model, image="image")
    one.setup()
    red, blue = (jpeg(Image.new("RGB", (40, 30), colour)) for colour in ("red", "blue"))
    rows = pa.table({"image": [[red], [red, blue], [blue]], "text": ["a", "b", "c"]})
    told = one(rows).to_pylist()
    alone = one(rows.slice(0, 1)).to_pylist()
    one.close()
    assert [row["error"] and row["error"]["class"] for row in told] == [
        None,
        "several_images",
        None,
    ]
    assert told[0]["caption"] == alone[0]["caption"]
