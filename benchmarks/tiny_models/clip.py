"""Tiny two-tower models: CLIP and its kin, in transformers and open_clip."""

import json
from pathlib import Path

from tiny_models.parts import awake, save, tokenizer
from tiny_models.tower_parts import (
    EDGE,
    ENDS,
    SIDE,
    TEXT,
    VISION,
    bert_words,
    clip_words,
    roberta_words,
)


def clip(folder: Path, side: int = 32, patch: int = 16) -> None:
    import transformers as t

    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = {**TEXT, **ids, "max_position_embeddings": 24}
    config = t.CLIPConfig(
        text_config=text,
        vision_config={**VISION, "image_size": side, "patch_size": patch},
        projection_dim=24,
    )
    processor = t.CLIPProcessor(
        t.CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ),
        clip_words(24),
    )
    save(folder, awake(t.CLIPModel(config)), processor)


def metaclip_2(folder: Path) -> None:
    import transformers as t

    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = {**TEXT, **ids, "max_position_embeddings": 24}
    config = t.MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=24)
    words = tokenizer(
        ["<s>", "<pad>", "</s>"],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        wrap=(["<s>"], ["</s>"]),
        length=24,
    )
    save(
        folder,
        awake(t.MetaClip2Model(config)),
        t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), words),
    )


def altclip(folder: Path) -> None:
    import transformers as t

    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = {**TEXT, **ids, "max_position_embeddings": 42, "project_dim": 24}
    config = t.AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    processor = t.AltCLIPProcessor(t.CLIPImageProcessor(**EDGE), roberta_words())
    save(folder, awake(t.AltCLIPModel(config)), processor)


def chinese_clip(folder: Path) -> None:
    import transformers as t

    text = {**TEXT, "max_position_embeddings": 512, "pad_token_id": 0}
    config = t.ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    processor = t.ChineseCLIPProcessor(
        t.ChineseCLIPImageProcessor(size=SIDE, do_center_crop=False), bert_words()
    )
    save(folder, awake(t.ChineseCLIPModel(config)), processor)


OF_CLIP = {**TEXT, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
OF_CLIP |= {"max_position_embeddings": 24}


def clipseg(folder: Path) -> None:
    import transformers as t

    config = t.CLIPSegConfig(
        text_config=OF_CLIP, vision_config=VISION, projection_dim=24, extract_layers=[0]
    )
    processor = t.CLIPSegProcessor(t.ViTImageProcessor(size=SIDE), clip_words(24))
    save(folder, awake(t.CLIPSegModel(config)), processor)


def groupvit(folder: Path) -> None:
    import transformers as t

    eye = {"hidden_size": 32, "intermediate_size": 64, "depths": [1, 1, 1], "num_hidden_layers": 3}
    eye |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 16}
    eye |= {"num_group_tokens": [4, 2, 0], "num_output_groups": [4, 2, 0]}
    config = t.GroupViTConfig(
        text_config=OF_CLIP, vision_config=eye, projection_dim=24, projection_intermediate_dim=32
    )
    processor = t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.GroupViTModel(config)), processor)


def owlv2(folder: Path) -> None:
    """A detector, whose towers are two by themselves."""
    import transformers as t

    eye = {**VISION, "image_size": 96}
    config = t.Owlv2Config(text_config=OF_CLIP, vision_config=eye, projection_dim=24)
    processor = t.Owlv2Processor(
        t.Owlv2ImageProcessor(size={"height": 96, "width": 96}), clip_words(24)
    )
    save(folder, awake(t.Owlv2ForObjectDetection(config)), processor)


def open_clip(folder: Path) -> None:
    """A checkpoint in open_clip's own format, which transformers does not read."""
    import open_clip as library
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    model = awake(library.CLIP(**config))
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": {"interpolation": "bicubic"}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


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
