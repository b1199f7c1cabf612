"""Faults of transformers' own models that are mended at load."""

import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.captioners.config import CaptionConfig
from pairmill.filters.clip import ClipConfig
from pairmill.filters.embed import EmbedConfig
from pairmill.models.mended import CAUSAL_EYES, CAUSAL_WORDS, MENDS, mended
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
