"""Tiny models that answer prompts: Microsoft's."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_models.parts import awake, save, tokenizer


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


def kosmos2(folder: Path) -> None:
    import transformers as t

    marks = [
        "<s>",
        "<pad>",
        "</s>",
        "<image>",
        "</image>",
        "<grounding>",
        "<phrase>",
        "</phrase>",
        "<object>",
        "</object>",
    ]
    words = tokenizer([*marks, "</delimiter_of_multi_objects/>", *(f"<patch_index_{i:04d}>" for i in range(4))], bos="<s>", eos="</s>", pad="<pad>")  # fmt: skip
    text = {"vocab_size": 340, "embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 4}
    config = t.Kosmos2Config(
        text_config={**text, **ids(words), "max_position_embeddings": 1024},
        vision_config=EYE,
        latent_query_num=64,
    )
    images = t.CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    processor = t.Kosmos2Processor(images, words, num_patch_index_tokens=4)
    save(folder, awake(t.Kosmos2ForConditionalGeneration(config)), processor)


def kosmos2_5(folder: Path) -> None:
    """Its prompts follow 16 places for a picture; the real one's 2,048."""
    import transformers as t

    named = {"boi_token": "<image>", "eoi_token": "</image>", "image_token": "<s>"}
    words = llama_words("<image>", "</image>", **named)
    text = {"vocab_size": 320, "embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 4}
    eye = {"hidden_size": 32, "patch_embed_hidden_size": 768, "intermediate_size": 64}
    eye |= {"head_dim": 8, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = t.Kosmos2_5Config(
        text_config={**text, **ids(words), "max_position_embeddings": 1024},
        vision_config={**eye, "max_num_patches": 4096},
        latent_query_num=16,
    )
    images = t.Kosmos2_5ImageProcessor()
    processor = t.Kosmos2_5Processor(images, words, num_image_tokens=16)
    save(folder, awake(t.Kosmos2_5ForConditionalGeneration(config), 0.05), processor)


def phi4_multimodal(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image|>", "audio_token": "<|audio|>"}
    words = chat_words(*named.values(), **named)
    ear = {"hidden_size": 32, "intermediate_size": 64, "num_blocks": 1, "num_attention_heads": 4}
    ear |= {"nemo_conv_channels": 16, "ext_pw_out_channel": 32, "input_size": 80}
    ear |= {"depthwise_separable_out_channel": 32, "audio_token_id": words.audio_token_id}
    eye = {**EYE, "image_size": 448, "patch_size": 14, "crop_size": 448}
    config = t.Phi4MultimodalConfig(
        **LLM, **ids(words), audio_config=ear, original_max_position_embeddings=4096,
        vision_config={**eye, "image_token_id": words.image_token_id},
    )  # fmt: skip
    images = t.Phi4MultimodalImageProcessor(dynamic_hd=2)
    processor = t.Phi4MultimodalProcessor(images, t.Phi4MultimodalFeatureExtractor(), words)
    model = t.Phi4MultimodalForCausalLM(config)
    save(folder, awake(model), processor, turns("<|image|>", *CHATML))
