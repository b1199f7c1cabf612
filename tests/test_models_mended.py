"""Faults of transformers' own models that are mended at load."""

import pytest

from pairmill.models.mended import mended
from tests.later import torch

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
