"""Tiny models that answer prompts: Idefics3 to DeepSeek-VL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from talker_parts import EYE, LLM, SIDE, ids, llama_words, turns
from tiny_parts import awake, save, tokenizer

IDEFICS = ["<|begin_of_text|>", "<|end_of_text|>", "<end_of_utterance>", "<pad>"]
IDEFICS += ["<fake_token_around_image>", "<image>", "<global-img>"]
IDEFICS += [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)]


def idefics3(folder: Path) -> None:
    import transformers as t

    words = tokenizer(IDEFICS, bos="<|begin_of_text|>", eos="<end_of_utterance>", pad="<pad>", wrap=(["<|begin_of_text|>"], []))  # fmt: skip
    config = t.Idefics3Config(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config={**EYE, "patch_size": 8},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        **ids(words),
    )
    images = t.Idefics3ImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    processor = t.Idefics3Processor(images, words, image_seq_len=4)
    template = turns("<image>", "ROLE: ", "<end_of_utterance>\n", "Assistant:", "<|begin_of_text|>")
    save(folder, awake(t.Idefics3ForConditionalGeneration(config)), processor, template)


def smolvlm(folder: Path) -> None:
    import transformers as t

    named = {"fake_image_token": "<fake_token_around_image>", "image_token": "<image>"}
    named |= {"global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"}
    words = tokenizer(
        IDEFICS, bos="<|begin_of_text|>", eos="<end_of_utterance>", pad="<pad>", **named
    )
    config = t.SmolVLMConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config={**EYE, "patch_size": 8},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        **ids(words),
    )
    size = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    processor = t.SmolVLMProcessor(
        t.SmolVLMImageProcessor(**size),
        words,
        t.SmolVLMVideoProcessor(size={"longest_edge": 64}),
        image_seq_len=4,
    )
    template = turns("<image>", "ROLE: ", "<end_of_utterance>\n", "Assistant:", "<|begin_of_text|>")
    save(folder, awake(t.SmolVLMForConditionalGeneration(config)), processor, template)


def paligemma(folder: Path) -> None:
    import transformers as t

    words = tokenizer(
        ["<pad>", "<eos>", "<bos>", "<image>"],
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        image_token="<image>",
    )
    images = t.SiglipImageProcessor(size=SIDE)
    images.image_seq_length = 4
    processor = t.PaliGemmaProcessor(images, words)
    size = len(words)
    text = t.GemmaConfig(**{**LLM, "vocab_size": size}, head_dim=8, **ids(words))
    config = t.PaliGemmaConfig(
        text_config=text,
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False, projection_dim=32),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    save(folder, awake(t.PaliGemmaForConditionalGeneration(config), 0.05), processor)


def gemma3(folder: Path) -> None:
    import transformers as t

    specials = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"]
    specials += ["<end_of_image>", "<image_soft_token>"]
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    named["image_token"] = "<image_soft_token>"
    words = tokenizer(
        specials, bos="<bos>", eos="<eos>", pad="<pad>", wrap=(["<bos>"], []), **named
    )
    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(**LLM, head_dim=8, query_pre_attn_scalar=8, **ids(words)),
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False),
        mm_tokens_per_image=4,
        **{
            f"{name}_token_index": words.convert_tokens_to_ids(named[f"{name}_token"])
            for name in ("boi", "eoi", "image")
        },
    )
    processor = t.Gemma3Processor(t.Gemma3ImageProcessor(size=SIDE), words, image_seq_length=4)
    template = turns("<start_of_image>", "<start_of_turn>ROLE\n", "<end_of_turn>\n", "<start_of_turn>model\n", "{{ bos_token }}")  # fmt: skip
    save(folder, awake(t.Gemma3ForConditionalGeneration(config), 0.05), processor, template)


def mllama(folder: Path) -> None:
    import transformers as t

    specials = ["<|begin_of_text|>", "<|eot_id|>", "<pad>", "<|image|>", "<|python_tag|>"]
    specials += ["<|start_header_id|>", "<|end_header_id|>"]
    words = tokenizer(specials, bos="<|begin_of_text|>", eos="<|eot_id|>", pad="<pad>", wrap=(["<|begin_of_text|>"], []))  # fmt: skip
    text = {**LLM, "num_hidden_layers": 3, "cross_attention_layers": [1], **ids(words)}
    rope = {"rope_type": "default", "rope_theta": 1e4}
    eye = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "attention_heads": 4}
    eye |= {"num_global_layers": 1, "image_size": 32, "patch_size": 16, "max_num_tiles": 2}
    eye |= {"intermediate_layers_indices": [0], "vision_output_dim": 64}
    eye |= {"supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]]}
    config = t.MllamaConfig(
        text_config={**text, "rope_parameters": rope, "vocab_size": 320},
        vision_config=eye,
        image_token_index=words.convert_tokens_to_ids("<|image|>"),
    )
    processor = t.MllamaProcessor(t.MllamaImageProcessor(size=SIDE, max_image_tiles=2), words)
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    template = turns("<|image|>", head.format("ROLE"), "<|eot_id|>", head.format("assistant"), "{{ bos_token }}")  # fmt: skip
    save(folder, open_eyed(awake(t.MllamaForConditionalGeneration(config))), processor, template)


def open_eyed(model: Any) -> Any:
    """Gates that let pictures through: they begin closed, and no picture would matter."""
    import torch

    with torch.no_grad():
        for name, gate in model.named_parameters():
            if name.endswith("gate"):
                gate.fill_(1.0)
    return model


MISTRAL_WORDS = ("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[SYSTEM_PROMPT]")


def mistral(folder: Path, model: Callable[..., Any], config: Callable[..., Any], text: Any) -> None:
    """A model of Mistral's that sees by Pixtral's tower."""
    import transformers as t

    words = llama_words(*MISTRAL_WORDS)
    eye = t.PixtralVisionConfig(**{**EYE, "image_size": 64, "patch_size": 8}, head_dim=8)
    place = words.convert_tokens_to_ids("[IMG]")
    whole = config(
        text_config=text(ids(words)),
        vision_config=eye,
        image_token_index=place,
        spatial_merge_size=2,
    )
    images = t.PixtralImageProcessor(size={"longest_edge": 64}, patch_size=8)
    processor = t.PixtralProcessor(images, words, patch_size=8, spatial_merge_size=2)
    template = turns("[IMG]", "[INST]", "[/INST]", "", "{{ bos_token }}")
    save(folder, awake(model(whole)), processor, template)


def mistral3(folder: Path) -> None:
    import transformers as t

    def text(special: dict[str, Any]) -> Any:
        return t.MistralConfig(**LLM, head_dim=8, **special)

    mistral(folder, t.Mistral3ForConditionalGeneration, t.Mistral3Config, text)


def florence2(folder: Path) -> None:
    import transformers as t

    words = tokenizer(["<s>", "<pad>", "</s>", "<image>"], bos="<s>", eos="</s>", pad="<pad>", wrap=(["<s>"], ["</s>"]), image_token="<image>")  # fmt: skip
    eye = {"depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1]}
    eye |= {"patch_prenorm": [False, True], "embed_dim": [16, 32], "num_heads": [2, 4]}
    eye |= {"num_groups": [2, 4], "window_size": 4, "projection_dim": 32}
    text = t.BartConfig(
        vocab_size=320, d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=64, decoder_ffn_dim=64,
        encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=1024, **ids(words),
        decoder_start_token_id=words.eos_token_id, forced_eos_token_id=None, forced_bos_token_id=None,
    )  # fmt: skip
    config = t.Florence2Config(
        text_config=text, vision_config=eye, image_token_id=words.convert_tokens_to_ids(
            "<image>"
        ), **ids(words),
        decoder_start_token_id=words.eos_token_id,
    )  # fmt: skip
    images = t.CLIPImageProcessor(size=SIDE, crop_size=SIDE, do_center_crop=False)
    images.image_seq_length = 17
    processor = t.Florence2Processor(images, words)
    save(folder, awake(t.Florence2ForConditionalGeneration(config)), processor)


def blip2(folder: Path) -> None:
    import transformers as t

    words = tokenizer(
        ["<pad>", "</s>", "<image>"], bos="</s>", eos="</s>", pad="<pad>", wrap=(["</s>"], [])
    )
    processor = t.Blip2Processor(t.BlipImageProcessor(size=SIDE), words, num_query_tokens=4)
    text = t.OPTConfig(
        vocab_size=320, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32,
        max_position_embeddings=1024, **ids(words),
    )  # fmt: skip
    former = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 320}
    former |= {"num_attention_heads": 4, "encoder_hidden_size": 32}
    config = t.Blip2Config(
        text_config=text.to_dict(), vision_config=EYE, qformer_config=former, num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    save(folder, awake(t.Blip2ForConditionalGeneration(config)), processor)


def deepseek_vl(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image_placeholder>", image_token="<image_placeholder>")
    config = t.DeepseekVLConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False),
        image_token_id=words.convert_tokens_to_ids("<image_placeholder>"),
    )
    images = t.DeepseekVLImageProcessor(size=SIDE, min_size=14)
    processor = t.DeepseekVLProcessor(images, words, num_image_tokens=4)
    template = turns("<image_placeholder>", "ROLE: ", "\n\n", "Assistant:", "{{ bos_token }}")
    save(folder, awake(t.DeepseekVLForConditionalGeneration(config)), processor, template)
