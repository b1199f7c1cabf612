"""Two-tower models: one vector for an image, one for a text, in the same space."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from pairmill.errors import StageBroken, first_line
from pairmill.models.fast_pixels import fast_pixels
from pairmill.models.files import checkpoint_folder
from pairmill.models.load import Probe, Spec, load, load_config
from pairmill.models.loaded_model import LoadedModel
from pairmill.models.once import once
from pairmill.models.pixels import greys
from pairmill.models.tower_kinds import check_towers
from pairmill.models.transfers import Inputs, beside, by_length, features, leaving, placed
from pairmill.torch_device import is_out_of_memory

if TYPE_CHECKING:
    from pairmill.models.fused_tower import FusedTower

LONG = 10**6
"""Tokenizers without a limit give an absurd number."""
BYTES = "pixel_bytes"
"""The image tower's input before it is normalised, which is done on the model's device."""


class TwoTowers(Protocol):
    """What `clip` needs of a model.  `pixels` is called in threads, `words` in one, `embed` in
    another.
    """

    device: str

    @property
    def note(self) -> str:
        """How the model was loaded, in words."""

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """The image tower's inputs, tensors whose first axis is the images'."""

    def words(self, texts: Sequence[str]) -> dict[str, Any]:
        """The text tower's inputs, cut at its length."""

    def embed(self, pixels: Inputs, words: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """float32 (n, d) of images and of texts."""

    def of_images(self, pixels: Inputs) -> np.ndarray:
        """float32 (n, d) of images alone."""

    def of_texts(self, words: Inputs) -> np.ndarray:
        """float32 (n, d) of texts alone."""


class TransformersTowers:
    """CLIP, SigLIP, ALIGN and their kin, called as their own examples call them: by the family's
    processor, with the padding and the text length that it was trained with.
    """

    def __init__(self, stage: str, spec: Spec) -> None:
        check_towers(stage, spec)
        self.loaded: LoadedModel = load(stage, spec, ["AutoModel"], "AutoProcessor", self.probe)
        self.device = self.loaded.device
        self.options = text_options(self.loaded.processor, self.loaded.model.config)
        if not spec.trust_remote_code:
            pad_behind(self.loaded.processor, self.options)
        self.fast = fast_pixels(self.loaded.processor.image_processor)
        self.stage = stage
        self.fused = self.fused_of(spec) if spec.compiled else None
        if spec.compiled and self.fused is None:
            compile_layers(stage, self.loaded, self.probe)
        self.how = ["compiled"] * spec.compiled
        self.causal = type(self.loaded.model).__name__ == "CLIPModel"
        """No token of a text sees one behind it, so that padding changes nothing."""
        self.beside = beside(self.device)

    @property
    def note(self) -> str:
        """How the model was loaded, and what its image tower is computed by."""
        return ", ".join([self.loaded.note, *self.how, *(["fused"] if self.fused else ())])

    def fused_of(self, spec: Spec) -> "FusedTower | None":
        """The image tower in fewer passes over memory, one for all stages with the model; None
        where there is none.
        """
        from pairmill.models.fused_tower import BuiltOtherwise, fused_tower

        if self.device != "cuda":
            return None
        try:
            return once((spec, "fused"), lambda: fused_tower(self.loaded.model, self.fast))
        except BuiltOtherwise:
            return None

    def warm(self, batch_size: int) -> None:
        """Makes the kernels for batches of such a size; raises StageBroken where that fails."""
        if self.fused is None:
            return
        try:
            with self.loaded.turns:
                self.fused.warm(batch_size)
        except Exception as error:  # dynamo and inductor raise kinds of their own
            if not is_out_of_memory(error):
                raise uncompiled(self.stage, error) from error

    def probe(self, model: Any, processor: Any, device: str, dtype: Any) -> Callable[[], Any]:
        """A forward pass of both towers over some plain pictures and four texts."""
        import torch

        options = text_options(processor, model.config)
        words = processor(text=["a grey picture"] * 4, return_tensors="pt", **options)
        images, texts = placed(greys(processor), device, dtype), placed(words, device, dtype)

        def work() -> None:
            with torch.inference_mode():
                model.get_image_features(**images)
                model.get_text_features(**texts)

        return work

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        if self.fast is not None:
            return {BYTES: self.fast(images)}
        return dict(self.loaded.processor(images=list(images), return_tensors="pt"))

    def words(self, texts: Sequence[str]) -> dict[str, Any]:
        with self.loaded.words_lock:
            return dict(
                self.loaded.processor(text=list(texts), return_tensors="pt", **self.options)
            )

    def embed(self, pixels: Inputs, words: Inputs) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode(), self.loaded.turns:
            images = leaving(self.image_side(pixels))
            with self.beside:
                texts = leaving(self.text_side(words))
        return images(), texts()  # another thread's batch follows at once

    def of_images(self, pixels: Inputs) -> np.ndarray:
        import torch

        with torch.inference_mode(), self.loaded.turns:
            wait = leaving(self.image_side(pixels))
        return wait()

    def image_side(self, pixels: Inputs) -> Any:
        """The image tower's answer."""
        if self.fused is not None:
            return self.fused(pixels[BYTES].to(self.device))
        return self.loaded.model.get_image_features(**self.seen(pixels))

    def text_side(self, words: Inputs) -> Any:
        """The text tower's answer."""
        mask = words.get("attention_mask")
        if self.causal and self.device == "cuda" and mask is not None and mask[:, 0].all():
            return in_parts(self.loaded.model, words, self.device)
        inputs = placed(words, self.loaded.device, self.loaded.dtype)
        return self.loaded.model.get_text_features(**inputs)

    def seen(self, pixels: Inputs) -> dict[str, Any]:
        """What `pixels` gave, as the image tower takes it, on its device."""
        if self.fast is not None:
            pixels = {"pixel_values": self.fast.normalised(pixels[BYTES].to(self.device))}
        return placed(pixels, self.loaded.device, self.loaded.dtype)

    def of_texts(self, words: Inputs) -> np.ndarray:
        import torch

        with torch.inference_mode(), self.loaded.turns, self.beside:
            wait = leaving(self.text_side(words))
        return wait()


def in_parts(model: Any, words: Inputs, device: str) -> Any:
    """The vectors of CLIP's texts, padded at the right: the longest apart from the many short ones.

    No token sees one behind it, so that no mask is needed; the CPU would look at it, and wait for
    the GPU.
    """
    import torch

    parts, answers = by_length(words["attention_mask"]), []
    for rows, length in parts:
        ids = placed({"input_ids": words["input_ids"][rows, :length]}, device, None)
        answers.append(features(model.get_text_features(**ids)))
    places = torch.cat([rows for rows, _ in parts]).argsort()
    return torch.cat(answers)[placed({"": places}, device, None)[""]]


def compile_layers(stage: str, loaded: LoadedModel, probe: Probe) -> None:
    """Makes kernels for the image tower's layers, one set for all of them; tries them.

    Raises StageBroken where that cannot be done here: it takes a C compiler.
    """
    tower = getattr(loaded.model, "vision_model", loaded.model)
    stacks = [m for m in tower.modules() if type(m).__name__ == "ModuleList" and len(m) > 1]
    for layer in stacks[0] if stacks else ():
        layer.compile()
    try:
        with loaded.lock:
            probe(loaded.model, loaded.processor, loaded.device, loaded.dtype)()
    except Exception as error:  # dynamo and inductor raise kinds of their own
        raise uncompiled(stage, error) from error


def uncompiled(stage: str, error: Exception) -> StageBroken:
    """The error where kernels cannot be made."""
    return StageBroken(
        f"stage {stage!r}: `compile` does not work on this worker: {first_line(error)}; leave "
        "it out, or install a C compiler"
    )


def pad_behind(processor: Any, options: dict[str, Any]) -> None:
    """Text towers count places from the first token, so that one behind padding, as a checkpoint's
    tokenizer may have it, would give a vector that depends on the texts beside it.  Where all texts
    are padded to one length, they are as the checkpoint has it.
    """
    if options.get("padding") is True:
        processor.tokenizer.padding_side = "right"


def text_options(processor: Any, config: Any) -> dict[str, Any]:
    """How texts are padded and cut: as the family's processor says, else as its model was
    trained.
    """
    kwargs = getattr(processor, "valid_processor_kwargs", None)
    defaults = {
        **(getattr(kwargs, "_defaults", None) or {}).get("text_kwargs", {}),
        **(getattr(processor, "text_kwargs", None) or {}),
    }
    options: dict[str, Any] = {"truncation": True}
    if "padding" not in defaults:
        # SigLIP was trained on, and attends to, texts padded to full length.
        options["padding"] = "max_length" if "siglip" in config.model_type else True
    if "max_length" not in defaults:
        options["max_length"] = text_limit(processor.tokenizer, config)
    return options


def text_limit(tokenizer: Any, config: Any) -> int:
    """Tokens that the text tower takes."""
    text = getattr(config, "text_config", config)
    positions = getattr(text, "max_position_embeddings", None) or 77
    if "altclip" in config.model_type or "roberta" in getattr(text, "model_type", ""):
        positions -= (text.pad_token_id or 0) + 1  # RoBERTa counts places from behind the padding's
    limit = tokenizer.model_max_length
    return min(positions, limit) if limit < LONG else positions


def embedding_length(stage: str, spec: Spec) -> int | None:
    """Length of the model's embeddings as its config tells it; None where it does not."""
    folder = checkpoint_folder(
        spec.model, spec.revision, weights=False, code=spec.trust_remote_code
    )
    config = load_config(stage, folder, spec)
    vision = getattr(config, "vision_config", config)
    return getattr(config, "projection_dim", None) or getattr(vision, "hidden_size", None)
