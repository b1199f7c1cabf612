"""Tiny models that answer prompts: BLIP's, and GIT."""

from pathlib import Path

from tiny_models.chat_parts import EYE, SIDE, ids
from tiny_models.parts import awake, save, tokenizer


def blip(folder: Path) -> None:
    """The prompt is the beginning of the caption, as in the family's example."""
    import transformers as t

    words = tokenizer(["[PAD]", "[CLS]", "[SEP]", "[DEC]"], bos="[DEC]", eos="[SEP]", pad="[PAD]", wrap=(["[CLS]"], ["[SEP]"]))  # fmt: skip
    text = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "projection_dim": 32}
    text |= {"encoder_hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text |= {"sep_token_id": words.eos_token_id, **ids(words)}
    config = t.BlipConfig(text_config=text, vision_config=EYE)
    processor = t.BlipProcessor(t.BlipImageProcessor(size=SIDE), words)
    save(folder, awake(t.BlipForConditionalGeneration(config)), processor)


def instructblip(folder: Path) -> None:
    import transformers as t

    words = tokenizer(["<pad>", "</s>", "<image>"], bos="</s>", eos="</s>", pad="<pad>", wrap=(["</s>"], []))  # fmt: skip
    asked = tokenizer(["[PAD]", "[CLS]", "[SEP]"], eos="[SEP]", pad="[PAD]", wrap=(["[CLS]"], ["[SEP]"]))  # fmt: skip
    processor = t.InstructBlipProcessor(
        t.BlipImageProcessor(size=SIDE), words, asked, num_query_tokens=4
    )
    text = t.OPTConfig(
        vocab_size=320, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        word_embed_proj_dim=32, max_position_embeddings=1024, **ids(words),
    )  # fmt: skip
    former = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 320}
    former |= {"num_attention_heads": 4, "encoder_hidden_size": 32}
    config = t.InstructBlipConfig(
        text_config=text.to_dict(), vision_config=EYE, qformer_config=former, num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    save(folder, awake(t.InstructBlipForConditionalGeneration(config)), processor)


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


def git(folder: Path) -> None:
    import transformers as t

    words = tokenizer(["[PAD]", "[CLS]", "[SEP]"], bos="[CLS]", eos="[SEP]", pad="[PAD]", wrap=(["[CLS]"], ["[SEP]"]))  # fmt: skip
    text = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = t.GitConfig(
        **text, num_attention_heads=4, vision_config=EYE, max_position_embeddings=512, **ids(words)
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    save(folder, awake(t.GitForCausalLM(config)), t.GitProcessor(images, words))
