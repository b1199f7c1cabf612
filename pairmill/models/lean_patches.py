"""Patches of pictures for models that look at them in their own shape (Qwen-VL), made a batch at a
time.

Such a processor resizes, normalises and cuts each picture by itself, some twenty calls of torch a
picture.  Here each is resized in C straight into its place among those that become as large, and
these are normalised in C and cut by the processor at once.  It is done only for a processor whose
answers stay the same bit by bit, which lean_images.py tries.
"""

import sys
from typing import Any

import numpy as np

from pairmill.images.resizing import FILTERS, PictureInC, Wanted, library, normalise, resize_pixels
from pairmill.models.fast_pixels import MODES

WANTED = ("do_resize", "do_rescale", "do_normalize")


class Patches:
    """In the place of a processor's `_preprocess`, for pictures whose pixels lie side by side."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.own = processor, processor._preprocess
        self.smart_resize = sys.modules[type(processor).__module__].smart_resize

    def __call__(self, images: list[Any], **options: Any) -> Any:
        mode = mode_of(options["resample"])
        lying = [in_memory(image) for image in images]
        if mode is None or None in lying or not all(options[name] for name in WANTED):
            return self.own(images, **options)
        groups: dict[tuple[int, int], list[int]] = {}
        for at, image in enumerate(images):
            groups.setdefault(self.target(image, options), []).append(at)
        return self.cut(lying, groups, mode, options)

    def target(self, image: Any, options: dict[str, Any]) -> tuple[int, int]:
        """(height, width) that a picture is resized to."""
        height, width = self.smart_resize(
            *image.shape[-2:],
            factor=options["patch_size"] * options["merge_size"],
            min_pixels=options["size"].shortest_edge,
            max_pixels=options["size"].longest_edge,
        )
        return height, width

    def cut(
        self,
        pictures: list[Any],
        groups: dict[tuple[int, int], list[int]],
        mode: str,
        options: dict[str, Any],
    ) -> Any:
        """The processor's answer, from pictures by the size that they are resized to."""
        import torch
        from transformers.feature_extraction_utils import BatchFeature

        compiled = library()
        assert compiled is not None, "asked for only where it is there"
        scale = 1 / options["rescale_factor"]
        mean, std = (
            (torch.tensor(options[name]) * scale).tolist() for name in ("image_mean", "image_std")
        )
        parts: list[Any] = [None] * len(pictures)
        grids: list[Any] = [None] * len(pictures)
        shape = {
            name: options[name] for name in ("patch_size", "merge_size", "temporal_patch_size")
        }
        for (height, width), members in groups.items():
            pixels = np.empty((len(members), height, width, 4), np.uint8)
            for at, place in zip(members, pixels, strict=True):
                resize_pixels(compiled, pictures[at], Wanted(height, width), mode, place)
            numbers = torch.empty((len(members), 3, height, width))
            normalise(compiled, pixels, mean, std, numbers.numpy())
            patches, tall, wide = self.processor.patchify(numbers, **shape)
            for at, part in zip(members, patches, strict=True):
                parts[at], grids[at] = part, [1, tall, wide]
        data = {
            "pixel_values": parts[0] if len(parts) == 1 else torch.cat(parts),
            "image_grid_thw": torch.tensor(grids, dtype=torch.long),
        }
        return BatchFeature(data=data, tensor_type=options.get("return_tensors"))


def mode_of(resample: Any) -> str | None:
    """The name of a resampling filter that is computed in C; Pillow's or torchvision's."""
    value = getattr(resample, "value", resample)
    name = MODES.get(value, value)
    return name if name in FILTERS else None


def in_memory(image: Any) -> PictureInC | None:
    """Where the pixels of a (3, height, width) tensor of bytes lie; None where these are not side
    by side.
    """
    import torch

    if image.ndim != 3 or image.dtype != torch.uint8 or image.shape[0] != 3:
        return None
    plane, row, pixel = image.stride()
    height, width = image.shape[1:]
    if plane != 1 or pixel not in (3, 4) or row != pixel * width:
        return None
    return PictureInC(image.data_ptr(), height, width, pixel, row)
