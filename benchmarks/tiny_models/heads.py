"""Tiny image–text matching heads, by family: real classes, random weights."""

from collections.abc import Callable
from pathlib import Path

from tiny_models.parts import awake, save
from tiny_models.tower_parts import SIDE, TEXT, VISION, bert_words, roberta_words


def blip_itm(folder: Path) -> None:
    import transformers as t

    ids = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    text = {**TEXT, **ids, "encoder_hidden_size": 32, "max_position_embeddings": 48}
    config = t.BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=24)
    processor = t.BlipProcessor(t.BlipImageProcessor(size=SIDE), bert_words())
    save(folder, awake(t.BlipForImageTextRetrieval(config)), processor)


def blip2_itm(folder: Path) -> None:
    import transformers as t

    words = bert_words()
    processor = t.Blip2Processor(t.BlipImageProcessor(size=SIDE), words, num_query_tokens=4)
    place = words.convert_tokens_to_ids("<image>")
    former = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    former |= {"num_attention_heads": 4, "encoder_hidden_size": 32, "vocab_size": 320}
    former |= {"max_position_embeddings": 48, "use_qformer_text_input": True}
    config = t.Blip2Config(
        vision_config=VISION, qformer_config=former, num_query_tokens=4, image_token_index=place,
        image_text_hidden_size=24,
    )  # fmt: skip
    save(folder, awake(t.Blip2ForImageTextRetrieval(config)), processor)


def bridgetower_itm(folder: Path) -> None:
    import transformers as t

    text = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 320}
    text |= {"num_attention_heads": 4, "max_position_embeddings": 66}
    eye = {"hidden_size": 64, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16}
    config = t.BridgeTowerConfig(
        vision_config=eye, text_config=text, hidden_size=64, num_attention_heads=4,
        num_hidden_layers=2,
    )  # fmt: skip
    edge = {"shortest_edge": 32}
    images = t.BridgeTowerImageProcessor(size=edge, crop_size=edge, size_divisor=4)
    processor = t.BridgeTowerProcessor(images, roberta_words())
    save(folder, awake(t.BridgeTowerForImageAndTextRetrieval(config)), processor)


HEADS: dict[str, Callable[[Path], None]] = {
    "BLIP (ITM)": blip_itm,
    "BLIP-2 (ITM)": blip2_itm,
    "BridgeTower (ITM)": bridgetower_itm,
}

THIN = {"BridgeTower (ITM)": (20, 160)}
"""Thinnest pictures that a family's processor takes, where it does not take all."""
