"""Tiny models that answer prompts: Idefics and its heirs."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_models.parts import awake, save, tokenizer

IDEFICS = ["<|begin_of_text|>", "<|end_of_text|>", "<end_of_utterance>", "<pad>"]
IDEFICS += ["<fake_token_around_image>", "<image>", "<global-img>"]
IDEFICS += [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)]


def idefics2(folder: Path) -> None:
    import transformers as t

    specials = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    words = llama_words(*specials)
    config = t.Idefics2Config(
        text_config=t.MistralConfig(**LLM, **ids(words)),
        vision_config={**EYE, "patch_size": 8, "image_size": 64},
        perceiver_config={
            "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 4,
            "resampler_head_dim": 8, "num_key_value_heads": 2, "hidden_size": 32,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    images = t.Idefics2ImageProcessor(
        size={"shortest_edge": 32, "longest_edge": 64}, do_image_splitting=False
    )
    processor = t.Idefics2Processor(images, words, image_seq_len=4)
    template = turns("<image>", "ROLE:", "<end_of_utterance>\n", "Assistant:")
    model = t.Idefics2ForConditionalGeneration(config)
    model.resize_token_embeddings(320)
    save(folder, awake(model), processor, template)


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


def granite_docling(folder: Path) -> None:
    import transformers as t

    marks = ["<fake_token_around_image>", "<image>", "<global-img>"]
    words = chat_words(*marks, *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)))
    eye = {**EYE, "patch_size": 8, "scale_factor": 2, "out_hidden_size": 32}
    config = t.GraniteDoclingConfig(
        text_config={**LLM, **ids(words), "residual_multiplier": 1.0, "attention_multiplier": 0.35},
        vision_config={**eye, "use_fine_route": False},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
    )
    images = t.GraniteDoclingImageProcessor(size=SIDE, max_patches=4)
    processor = t.GraniteDoclingProcessor(images, words, image_seq_len=4)
    template = turns("<image>", *CHATML)
    save(folder, awake(t.GraniteDoclingForConditionalGeneration(config), 0.05), processor, template)
