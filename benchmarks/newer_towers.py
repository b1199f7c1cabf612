"""Tiny two-tower models that came later, and models that are near to one: real classes, random
weights.
"""

from collections.abc import Callable
from pathlib import Path

import tiny_towers
from tiny_parts import awake, save, tokenizer
from tiny_towers import EDGE, SIDE, TEXT, VISION, bert_words, clip_words

ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


def aimv2(folder: Path) -> None:
    """AIMv2's image tower and a text tower beside it, as its LiT checkpoint has them."""
    import transformers as t

    text = {name: value for name, value in TEXT.items() if name != "projection_dim"}
    eye = {name: value for name, value in VISION.items() if name != "projection_dim"}
    config = t.Aimv2Config(
        text_config={**text, "eos_token_id": 1, "max_position_embeddings": 24},
        vision_config=eye,
        projection_dim=24,
    )
    processor = t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.Aimv2Model(config)), processor)


def blip_towers(folder: Path) -> None:
    """BLIP with projections, as `BlipModel` writes it."""
    import transformers as t

    ids = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    text = {**TEXT, **ids, "encoder_hidden_size": 32, "max_position_embeddings": 48}
    config = t.BlipConfig(text_config=text, vision_config=VISION, projection_dim=24)
    processor = t.BlipProcessor(t.BlipImageProcessor(size=SIDE), bert_words())
    save(folder, awake(t.BlipModel(config)), processor)


def tipsv2(folder: Path) -> None:
    import transformers as t

    text = {name: value for name, value in TEXT.items() if name != "projection_dim"}
    eye = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_ratio": 2}
    config = t.Tipsv2Config(
        text_config={**text, "max_position_embeddings": 64, "pad_token_id": 0},
        vision_config={**eye, "image_size": 32, "patch_size": 16},
    )
    words = tokenizer(["<pad>", "</s>"], pad="<pad>", eos="</s>", length=64)
    processor = t.Tipsv2Processor(t.Tipsv2ImageProcessor(size=SIDE), words)
    save(folder, awake(t.Tipsv2Model(config)), processor)


def x_clip(folder: Path) -> None:
    """Its image tower is one of films."""
    import transformers as t

    eye = {**VISION, "num_frames": 2, "mit_hidden_size": 32, "mit_intermediate_size": 64}
    eye |= {"mit_num_hidden_layers": 1, "mit_num_attention_heads": 4}
    config = t.XCLIPConfig(
        text_config={**TEXT, **ENDS, "max_position_embeddings": 24},
        vision_config=eye,
        projection_dim=32,
        prompt_layers=1,
        prompt_num_attention_heads=4,
    )
    processor = t.XCLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.XCLIPModel(config)), processor)


def videoprism(folder: Path) -> None:
    import transformers as t

    eye = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "image_size": 36}
    eye |= {"num_spatial_layers": 1, "num_temporal_layers": 1, "num_auxiliary_layers": 1}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 320}
    config = t.VideoPrismConfig(vision_config=eye, text_config={**text, "num_attention_heads": 4})
    processor = t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.VideoPrismClipModel(config)), processor)


def coca(folder: Path) -> None:
    """open_clip's own class whose towers come with a writer, which `clip` does not ask."""
    import json

    import open_clip as library
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16}
    vision |= {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    text |= {"embed_cls": True, "output_tokens": True}
    writer = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    writer |= {"attn_pooler_heads": 4}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": writer}
    model = awake(library.CoCa(**config))
    config["custom_text"] = True
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": {"interpolation": "bicubic"}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


TOWERS: dict[str, Callable[[Path], None]] = {
    **tiny_towers.TOWERS,
    "open_clip (CoCa)": coca,
    "AIMv2 (LiT)": aimv2,
    "TIPSv2": tipsv2,
    "BLIP (two towers)": blip_towers,
}
