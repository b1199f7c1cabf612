"""Models of real sizes with random weights: what they cost is what real checkpoints cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_models.chat_parts import CHATML, QWEN, QWEN_IMAGE, chat_words, ids, turns
from tiny_models.parts import save
from tiny_models.tower_parts import clip_words


@dataclass(frozen=True)
class Clip:
    """Sizes of a CLIP, as OpenAI's checkpoints have them."""

    patch: int
    width: int
    layers: int
    heads: int
    text_width: int
    text_heads: int
    projection: int
    side: int = 224

    def image_flops(self) -> float:
        """Floating-point operations for one image: matrices, and attention over all patches."""
        tokens = (self.side // self.patch) ** 2 + 1
        matrices = 12 * self.width**2 * self.layers * tokens * 2
        attention = 4 * tokens**2 * self.width * self.layers
        return matrices + attention + 2 * 3 * self.patch**2 * self.width * (tokens - 1)


CLIPS = {
    "B/32": Clip(32, 768, 12, 12, 512, 8, 512),
    "L/14": Clip(14, 1024, 24, 16, 768, 12, 768),
    "tiny": Clip(112, 64, 2, 2, 32, 2, 24),
}


def clip(folder: Path, name: str, device: str) -> None:
    import torch
    import transformers as t

    size = CLIPS[name]
    words = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "vocab_size": 49408}
    text = {"hidden_size": size.text_width, "intermediate_size": 4 * size.text_width}
    text |= {"num_attention_heads": size.text_heads, "num_hidden_layers": 12}
    vision = {"hidden_size": size.width, "intermediate_size": 4 * size.width}
    vision |= {"num_attention_heads": size.heads, "num_hidden_layers": size.layers}
    vision |= {"image_size": size.side, "patch_size": size.patch}
    config = t.CLIPConfig(
        text_config={**text, **words, "max_position_embeddings": 77},
        vision_config=vision,
        projection_dim=size.projection,
    )
    edge = {"height": size.side, "width": size.side}
    images = t.CLIPImageProcessor(size={"shortest_edge": size.side}, crop_size=edge)
    with torch.device(device):
        model = t.CLIPModel(config).to(torch.bfloat16)
    save(folder, model, t.CLIPProcessor(images, clip_words(77)))


QWEN_3B: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
    "num_attention_heads": 16, "num_key_value_heads": 2, "max_position_embeddings": 32768,
    "vocab_size": 151936, "mrope_section": [16, 24, 24],
}  # fmt: skip
EYE_3B: dict[str, Any] = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
    "out_hidden_size": 2048, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
SMALL = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,  # of 32 channels, the fewest that vLLM's kernels take
}
QWEN_TINY = {**QWEN_3B, **SMALL, "vocab_size": 320, "mrope_section": [4, 6, 6]}
EYE_TINY = {"depth": 2, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4}
EYE_TINY |= {"out_hidden_size": 128, "window_size": 56, "fullatt_block_indexes": [1]}


def qwen(folder: Path, tiny: bool, device: str) -> None:
    """Qwen2.5-VL of 3 billion parameters, its images as its own processor takes them."""
    import torch
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    text = dict(QWEN_TINY if tiny else QWEN_3B)
    rope = {"rope_type": "default", "mrope_section": text.pop("mrope_section"), "rope_theta": 1e6}
    config = t.Qwen2_5_VLConfig(
        text_config={**text, "rope_parameters": rope, **ids(words)},
        vision_config=EYE_TINY if tiny else EYE_3B,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    with torch.device(device):
        model = t.Qwen2_5_VLForConditionalGeneration(config).to(torch.bfloat16)
    images = t.Qwen2VLImageProcessor(
        patch_size=14, size={"shortest_edge": 3136, "longest_edge": 12845056}
    )
    processor = t.Qwen2_5_VLProcessor(images, words, t.Qwen2VLVideoProcessor())
    save(folder, model, processor, turns(QWEN_IMAGE, *CHATML))
