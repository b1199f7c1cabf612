"""A two-tower model's vectors for each patch of an image and each token of a text."""

from typing import Any

import numpy as np

from pairmill.errors import StageBroken
from pairmill.models.load import Spec
from pairmill.models.transfers import Inputs, placed
from pairmill.models.two_towers import TransformersTowers

PARTS = ("vision_model", "text_model", "visual_projection", "text_projection")


class TokenTowers(TransformersTowers):
    """CLIP and what is built like it: its projections take every patch and token, as FILIP has
    it.
    """

    def __init__(self, stage: str, spec: Spec) -> None:
        super().__init__(stage, spec)
        model = self.loaded.model
        missing = [name for name in PARTS if not hasattr(model, name)]
        if missing or not hasattr(model.vision_model, "post_layernorm"):
            raise StageBroken(
                f"stage {stage!r}: {spec.model!r} is {type(model).__name__}, which has no vectors "
                "of patches and tokens in one space; give a model that is built like CLIP"
            )

    def finest(self, pixels: Inputs, words: Inputs) -> np.ndarray:
        """float32 (n, 2): mean over patches of the best token's cosine, and mean over tokens
        (padding left out) of the best patch's.
        """
        import torch

        model = self.loaded.model
        where = (self.loaded.device, self.loaded.dtype)
        with torch.inference_mode(), self.loaded.turns:
            seen = self.hidden(model.vision_model, self.seen(pixels))[
                :, 1:
            ]  # the first is the whole
            patches = model.visual_projection(model.vision_model.post_layernorm(seen))
            inputs = placed(words, *where)
            tokens = model.text_projection(self.hidden(model.text_model, inputs))
            patches, tokens = (
                torch.nn.functional.normalize(v.float(), dim=-1) for v in (patches, tokens)
            )
            there = inputs["attention_mask"].bool()
            cosines = torch.einsum("npd,ntd->npt", patches, tokens)
            cosines = cosines.masked_fill(~there[:, None, :], -torch.inf)
            by_patch = cosines.amax(2).mean(1)
            by_token = cosines.amax(1).masked_fill(~there, 0).sum(1) / there.sum(1)
            return torch.stack([by_patch, by_token], 1).cpu().numpy()

    def hidden(self, tower: Any, inputs: dict[str, Any]) -> Any:
        """The last layer's vectors, (n, length, width)."""
        return tower(**inputs).last_hidden_state
