"""Faults of transformers' own models that are mended at load."""

from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.models.mended import mended
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import OPEN, jpeg
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
