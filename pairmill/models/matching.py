"""Image–text matching heads: models that look at a picture and a text at once, and say whether
they belong together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pairmill.models.load import Spec, load
from pairmill.models.loaded_model import LoadedModel
from pairmill.models.pixels import GREY, greys
from pairmill.models.transfers import Inputs, placed
from pairmill.models.two_towers import pad_behind, text_options

HEADS = (
    *("BlipForImageTextRetrieval", "Blip2ForImageTextRetrieval"),
    "BridgeTowerForImageAndTextRetrieval",
)
"""Classes of transformers whose two logits say: no pair, a pair."""


class Matcher:
    """A matching head, called as its family's own example calls it: the processor is given picture
    and text together.  `pixels` is called in threads, `words` in one, `match` in another.
    """

    def __init__(self, stage: str, spec: Spec) -> None:
        self.loaded: LoadedModel = load(stage, spec, HEADS, "AutoProcessor", self.probe)
        processor = self.loaded.processor
        pad_behind(processor, text_options(processor, self.loaded.model.config))
        self.device = self.loaded.device
        self.eye = getattr(self.loaded.model, "vision_model", self.loaded.model)
        """Has the precision that was asked for: BLIP-2 keeps other parts in float32."""
        self.note = self.loaded.note.replace(str(self.loaded.dtype)[6:], str(self.eye.dtype)[6:])

    def probe(self, model: Any, processor: Any, device: str, dtype: Any) -> Callable[[], Any]:
        import torch

        pixels = placed(greys(processor), device, dtype)
        texts = ["a grey picture"] * len(pixels["pixel_values"])
        words = placed(words_of(model, processor, texts), device, dtype)

        def work() -> None:
            with torch.inference_mode():
                logits_of(model, {**pixels, **words})

        return work

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """The picture's inputs, tensors whose first axis is the images'."""
        return dict(self.loaded.processor(images=list(images), return_tensors="pt"))

    def words(self, texts: Sequence[str]) -> dict[str, Any]:
        """The text's inputs, as the processor writes them beside a picture; cut at its length."""
        with self.loaded.words_lock:
            return words_of(self.loaded.model, self.loaded.processor, texts)

    def match(self, pixels: Inputs, words: Inputs) -> np.ndarray:
        """float32 (n,): the probability that text i belongs to picture i."""
        import torch

        inputs = placed({**pixels, **words}, self.device, self.eye.dtype)
        with torch.inference_mode(), self.loaded.turns:
            logits = logits_of(self.loaded.model, inputs)
            return logits.float().softmax(1)[:, 1].cpu().numpy()


def logits_of(model: Any, inputs: Mapping[str, Any]) -> Any:
    """(n, 2): no pair, a pair."""
    if model.config.model_type == "blip":
        return model(**inputs).itm_score
    if model.config.model_type == "bridgetower":
        return model(**inputs).logits
    return model(**inputs, use_image_text_matching_head=True).logits_per_image


def words_of(model: Any, processor: Any, texts: Sequence[str]) -> dict[str, Any]:
    """The text's inputs: BLIP-2's processor writes places for the picture only beside one, and
    takes them off the length that it is given.
    """
    options = text_options(processor, model.config)
    options["max_length"] = longest(model.config, processor.tokenizer)
    places = getattr(processor, "num_query_tokens", None)
    if places is not None:
        options["max_length"] += places
        mark = str(processor.image_token)
        texts = [text.replace(mark, f"{mark[0]} {mark[1:]}") for text in texts]
    inputs = processor(images=GREY, text=list(texts), return_tensors="pt", **options)
    return {name: value for name, value in inputs.items() if not name.startswith("pixel")}


def longest(config: Any, tokenizer: Any) -> int:
    """Tokens of a text that the head takes."""
    text = getattr(config, "qformer_config", None) or config.text_config
    places = int(text.max_position_embeddings)
    if config.model_type == "bridgetower":
        places -= int(text.pad_token_id) + 1  # its RoBERTa counts from behind the padding's
    return min(places, int(tokenizer.model_max_length))
