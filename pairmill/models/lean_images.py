"""Pictures for a family's image processor without its copies.

torchvision's processors make of each picture an array, and of that a tensor of another layout, and
resize it there: that costs about as much as decoding.  Here the processor is given the picture's
own memory, which torch resizes where it lies, all else is the processor's own work.  It is done
only for a processor whose answers stay the same bit by bit on pictures of many shapes, which is
tried at load.
"""

from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

from pairmill.images.resizing import library
from pairmill.models.fast_pixels import TRIED, bytes_of
from pairmill.models.lean_patches import Patches

MARK = "_pairmill_lean"


def without_copies(processor: Any) -> bool:
    """Gives an image processor of transformers the memory of pictures from now on; says whether
    it does.
    """
    if hasattr(processor, MARK):
        return bool(getattr(processor, MARK))
    if getattr(processor, "backend", "") != "torchvision":
        return False
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        for width, height in TRIED
    ]
    batches = [*([picture] for picture in pictures), [*pictures[2:], *pictures[3:]]]
    own = [answer(processor, batch) for batch in batches]

    def repeats() -> bool:
        pairs = zip(batches, own, strict=True)
        return all(same(answer(processor, batch), right) for batch, right in pairs)

    setattr(processor, MARK, True)
    processor.process_image = Taken(processor.process_image)
    processor.resize = Resized(processor.resize)
    if not repeats():
        del processor.process_image, processor.resize
        setattr(processor, MARK, False)
    elif library() is not None and hasattr(processor, "patchify"):
        with suppress(AttributeError):  # of another kind
            processor._preprocess = Patches(processor)
            if not repeats():
                del processor._preprocess
    return bool(getattr(processor, MARK))


class Taken:
    """In the place of a processor's `process_image`: (3, height, width) uint8 of an RGB picture, a
    view of its own memory; anything else as ever.
    """

    def __init__(self, own: Any) -> None:
        self.own = own

    def __call__(self, image: Any, *args: Any, **options: Any) -> Any:
        plain = isinstance(image, Image.Image) and image.mode == "RGB"
        if not plain or args or options.get("device") is not None:
            return self.own(image, *args, **options)
        return bytes_of(image).permute(2, 0, 1)[:3]


class Resized:
    """In the place of a processor's `resize`: where pixels lie four bytes apart, the fourth is
    resized along, since torch is fast at whole pixels and copies what is none.
    """

    def __init__(self, own: Any) -> None:
        self.own = own

    def __call__(self, *args: Any, **options: Any) -> Any:
        import torch

        name = "images" if "images" in options else "image"
        batch: Any = args[0] if args else options.get(name)
        whole = isinstance(batch, torch.Tensor) and batch.ndim == 4 and batch.shape[1] == 3
        if not whole or batch.dtype != torch.uint8 or batch.stride()[1::2] != (1, 4):
            return self.own(*args, **options)
        height, width = batch.shape[2:]
        four = batch.as_strided((len(batch), 4, height, width), batch.stride())
        if args:
            return self.own(four, *args[1:], **options)[:, :3]
        return self.own(**{**options, name: four})[:, :3]


def answer(processor: Any, pictures: list[Image.Image]) -> Any:
    """The processor's answer to some pictures, or the kind of its refusal."""
    try:
        return dict(processor(images=pictures, return_tensors="pt"))
    except Exception as error:  # processors refuse shapes in many ways
        return type(error)


def same(one: Any, other: Any) -> bool:
    """Whether two answers of a processor are equal, bit by bit."""
    import torch

    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(type(one) is type(other) and one == other)
