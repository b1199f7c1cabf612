"""Tiny models that answer prompts: a mixture of experts, one made for films, and one with ears."""

from pathlib import Path

from talker_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_parts import awake, save


def aria(folder: Path) -> None:
    import transformers as t

    words = chat_words("<|img|>", image_token="<|img|>")
    text = {**LLM, **ids(words), "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1}
    config = t.AriaConfig(
        text_config=t.AriaTextConfig(**text),
        vision_config={**EYE, "model_type": "idefics3_vision", "image_size": 980, "patch_size": 70},
        projector_patch_to_query_dict={49: 4, 196: 8},
        image_token_index=words.convert_tokens_to_ids("<|img|>"),
    )
    images = t.AriaImageProcessor(max_image_size=490, split_image=False)
    processor = t.AriaProcessor(images, words, size_conversion={490: 4, 980: 8})
    save(
        folder, awake(t.AriaForConditionalGeneration(config)), processor, turns("<|img|>", *CHATML)
    )


def video_llava(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", "<video>")
    eye = t.CLIPVisionConfig(**EYE)
    config = t.VideoLlavaConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)), vision_config=eye,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_seq_length=4, video_seq_length=40,
    )  # fmt: skip
    square = {"size": {"shortest_edge": 32}, "crop_size": SIDE}
    processor = t.VideoLlavaProcessor(
        t.VideoLlavaImageProcessor(**square), t.VideoLlavaVideoProcessor(**square), words,
        patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip
    template = turns("<image>\n", "ROLE: ", " ", "ASSISTANT:")
    save(folder, awake(t.VideoLlavaForConditionalGeneration(config)), processor, template)


def omni3_thinker(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image_pad|>", "audio_token": "<|audio_pad|>"}
    named |= {"video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>"}
    named |= {"vision_eos_token": "<|vision_end|>", "audio_bos_token": "<|audio_start|>"}
    named |= {"audio_eos_token": "<|audio_end|>"}
    words = chat_words(*named.values(), **named)
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {**LLM, **ids(words), "head_dim": 8, "rope_parameters": rope, "num_experts": 4}
    text |= {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    ear = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    ear |= {"output_dim": 32, "downsample_hidden_size": 16}
    places = {
        f"{kind}_token_id": words.convert_tokens_to_ids(f"<|{kind}_pad|>")
        for kind in ("image", "audio", "video")
    }
    places |= {"vision_start_token_id": words.convert_tokens_to_ids("<|vision_start|>")}
    places |= {"audio_start_token_id": words.convert_tokens_to_ids("<|audio_start|>")}
    config = t.Qwen3OmniMoeThinkerConfig(
        text_config=text, vision_config=eye, audio_config=ear, **places
    )
    size = {"shortest_edge": 4 * 16 * 16, "longest_edge": 64 * 16 * 16}
    processor = t.Qwen3OmniMoeProcessor(
        t.Qwen2VLImageProcessor(patch_size=16, size=size), t.Qwen2VLVideoProcessor(),
        t.WhisperFeatureExtractor(feature_size=128), words,
    )  # fmt: skip
    template = turns("<|vision_start|><|image_pad|><|vision_end|>", *CHATML)
    save(folder, awake(t.Qwen3OmniMoeThinkerForConditionalGeneration(config)), processor, template)
