"""Faults of transformers' own models that are mended at load."""

import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.captioners.config import CaptionConfig
from pairmill.errors import StageBroken
from pairmill.filters.classify import ClassifyConfig
from pairmill.filters.clip import ClipConfig
from pairmill.filters.embed import EmbedConfig
from pairmill.filters.perplexity import PerplexityConfig
from pairmill.models.mended import CAUSAL_EYES, CAUSAL_WORDS, MENDS, SEVERAL, mended
from pairmill.plan.references import resolve_references
from pairmill.stages.caption import CaptionStage
from tests.conftest import CLIP, OPEN, jpeg
from tests.later import torch
from tests.tiny import built

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "image_size": 32}


@pytest.mark.filterwarnings("ignore")
def test_picture_that_fills_its_tile_is_seen_the_same_beside_one_that_does_not() -> None:
    import transformers as t
    from transformers.models.phi4_multimodal import modeling_phi4_multimodal as phi

    eye = t.Phi4MultimodalVisionConfig(
        **SIZES, patch_size=8, num_attention_heads=4, crop_size=32, attn_implementation="sdpa"
    )
    torch.manual_seed(0)
    model = mended(phi.Phi4MultimodalVisionModel(eye)).eval()
    pixels, there = torch.rand(2, 3, 32, 32), torch.ones(2, 4, 4, dtype=torch.bool)
    there[1, 2:] = False
    with torch.inference_mode():
        together = model(pixels, patch_attention_mask=there).last_hidden_state
        alone = model(pixels[:1], patch_attention_mask=there[:1]).last_hidden_state
    assert torch.allclose(together[0], alone[0], atol=1e-5)


def facts(config: Any) -> dict[str, str]:
    return dict(resolve_references(config)[1]["model"])


@pytest.fixture
def described(tmp_path: Path) -> Any:
    def folder(**description: Any) -> str:
        (tmp_path / "config.json").write_text(json.dumps(description))
        return str(tmp_path)

    return folder


def test_mend_is_part_of_the_identity_of_stages_whose_model_gets_it(described: Any) -> None:
    aimv2 = described(model_type="aimv2", text_config={"hidden_size": 8})
    told = facts(ClipConfig(model=aimv2))
    assert told.pop("mended") == "causal-text-1"
    assert told.keys() == {"content"}
    assert facts(EmbedConfig(model=aimv2))["mended"] == "causal-text-1"
    inside = described(model_type="own", parts={"text": {"model_type": "aimv2_text_model"}})
    assert facts(ClipConfig(model=inside))["mended"] == "causal-text-1"
    phi = described(model_type="phi4_multimodal")
    assert facts(CaptionConfig(model=phi))["mended"] == "seeing-tiles-1"
    served = CaptionConfig(model=phi, engine="openai", serve="vllm")
    assert facts(served).keys() == {"content"}  # the server loads it, unmended


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_pictures_a_row_have_another_identity_where_they_were_mixed(
    described: Any, kind: str
) -> None:
    model = described(model_type=kind, text_config={}, vision_config={})
    assert "mended" not in facts(CaptionConfig(model=model, image="image"))
    assert "mended" not in facts(CaptionConfig(model=model, image=["image"]))
    assert facts(CaptionConfig(model=model, image=["left", "right"]))["mended"] == "several-1"
    other = described(model_type="llava", text_config={}, vision_config={})
    assert "mended" not in facts(CaptionConfig(model=other, image=["left", "right"]))


def test_padding_before_texts_is_mended_of_two_towers_alone(described: Any) -> None:
    words = Path(described(model_type="phi3")) / "tokenizer_config.json"
    words.write_text('{"padding_side": "left"}')
    assert "mended" not in facts(PerplexityConfig(model=str(words.parent)))
    assert "mended" not in facts(ClassifyConfig(model=str(words.parent), text="text"))
    towers = {"text_config": {}, "vision_config": {}}
    clip = ClipConfig(model=described(model_type="clip", **towers))
    assert facts(clip)["mended"] == "padded-behind-1"
    for kind in ("align", "tipsv2"):  # their processors pad to one length
        assert "mended" not in facts(ClipConfig(model=described(model_type=kind, **towers)))
    writer = described(model_type="gemma3", architectures=["Gemma3ForCausalLM"], **towers)
    assert "mended" not in facts(PerplexityConfig(model=writer))


def test_prompts_of_one_length_are_mended_of_stages_that_ask_alone(described: Any) -> None:
    model = described(model_type="recurrent_gemma")
    assert facts(CaptionConfig(model=model))["mended"] == "unpadded-1"
    assert "mended" not in facts(PerplexityConfig(model=model))


def test_identity_of_models_without_a_fault_is_what_it_was(described: Any) -> None:
    assert facts(ClipConfig(model=CLIP)).keys() == {"content"}
    sees = described(model_type="aimv2_vision_model")
    assert facts(EmbedConfig(model=sees, embeddings=["image"])).keys() == {"content"}


def test_every_layer_that_is_mended_belongs_to_a_type_with_a_mend() -> None:
    for layer in (*CAUSAL_EYES, *CAUSAL_WORDS):
        owners = [kind for kind in MENDS if layer in layers_of(kind)]
        assert owners, layer


def layers_of(kind: str) -> list[str]:
    """Names in the module of a type of models."""
    module = kind.removesuffix("_text_model").removesuffix("_vision")
    return dir(importlib.import_module(f"transformers.models.{module}.modeling_{module}"))


def asking(kind: str, folder: Path, **options: Any) -> CaptionStage:
    """A stage with a tiny model, loaded."""
    values = {"prompt": "x", "dtype": "float32", "max_new_tokens": 6, **options}
    stage = CaptionStage(CaptionConfig(model=built(kind, folder), **values))
    stage.setup()
    OPEN.append(stage)
    return stage


PICTURES = [jpeg(Image.new("RGB", (60, 40), colour)) for colour in ("red", "green", "blue")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_model_that_draws_pictures_too_draws_its_texts_by_chance(tmp_path: Path) -> None:
    """Janus' own `generate` left the steps out: a text was the same at any temperature."""
    stage = asking("janus", tmp_path, temperature=1.0, samples=3, seed=1, logprobs=True)
    rows = stage(pa.table({"uid": ["a", "b", "c"], "image": PICTURES}))
    assert all(len(set(texts)) == 3 for texts in rows["caption"].to_pylist())
    assert all(sure < 0 for row in rows["caption_logprob"].to_pylist() for sure in row)
    config = CaptionConfig(model=built("janus", tmp_path))
    assert "mended" not in facts(config)
    assert facts(config.model_copy(update={"temperature": 0.5}))["mended"] == "sampled-1"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_generate_that_takes_no_steps_ends_a_run_that_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = asking("janus", tmp_path, logprobs=True)
    monkeypatch.setattr("pairmill.captioners.transformers_engine.OWN_STEPS", ())
    with pytest.raises(StageBroken, match="takes no steps"):
        stage(pa.table({"image": PICTURES}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_row_with_fewer_pictures_than_others_of_its_batch_is_answered_as_alone(
    tmp_path: Path,
) -> None:
    """What fills up such a row was seen by Mllama."""
    stage = asking("mllama", tmp_path, logprobs=True)
    red, green, blue = PICTURES
    rows = pa.table({"image": [[red], [green, blue], [blue, red, green]]})
    together = stage(rows)["caption_logprob"].to_pylist()
    alone = [stage(rows.slice(i, 1))["caption_logprob"][0].as_py() for i in range(3)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert stage(rows.slice(1, 1))["caption_logprob"][0].as_py() != pytest.approx(
        stage(pa.table({"image": [[green, green]]}))["caption_logprob"][0].as_py(), abs=1e-3
    ), "pictures do not matter"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_row_of_a_model_that_counts_images_through_does_not_know_its_place(tmp_path: Path) -> None:
    """Of an equal row, behind many others, HunYuan-VL thought otherwise."""
    model = built("hunyuan_vl", tmp_path)
    stage = CaptionStage(
        CaptionConfig(model=model, prompt="x", dtype="float32", max_new_tokens=4, logprobs=True)
    )
    stage.setup()
    OPEN.append(stage)
    picture = jpeg(Image.new("RGB", (60, 40), "red"))
    sure = stage(pa.table({"image": [picture] * 12}))["caption_logprob"].to_pylist()
    assert max(sure) - min(sure) < 1e-6
