"""An image processor's resize, crop and normalisation without its copies.

torchvision's processors spend most of their time on copies: a picture becomes an array, a tensor of
another layout, a stack.  Here torch resizes the decoded picture where it lies.  It is used only for
a processor whose answers it repeats bit by bit on pictures of many shapes, which is tried at load.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

MODES = {2: "bilinear", 3: "bicubic"}
"""PIL's numbers of the resampling filters that torch has for bytes."""
TRIED = ((1, 1), (5, 300), (333, 47), (224, 224), (640, 480), (451, 1203))
KEPT = threading.local()
"""`floats`: the memory that this thread looks bytes up into."""
PLAIN = ("do_resize", "do_rescale", "do_normalize")


def fast_pixels(processor: Any) -> "FastPixels | None":
    """The same as the processor, faster; None where that cannot be shown."""
    import torch

    if getattr(processor, "backend", "") != "torchvision" or getattr(processor, "do_pad", False):
        return None
    if not all(getattr(processor, name, False) for name in PLAIN):
        return None
    try:
        fast = FastPixels(processor)
        rng = np.random.default_rng(0)
        for width, height in TRIED:
            picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
            own = processor(images=[picture], return_tensors="pt")
            if set(own) != {"pixel_values"} or not torch.equal(
                own["pixel_values"], fast.normalised(fast([picture]))
            ):
                return None
    except Exception:  # a processor of another kind: any attribute may lack
        return None
    return fast


class FastPixels:
    """Pictures as the model's device wants them, in two halves: a thread makes bytes of one shape
    out of them, and `normalised` makes of these, wherever they lie, what the processor gives.
    """

    def __init__(self, processor: Any) -> None:
        import torch

        self.mode = MODES[int(processor.resample)]
        self.size = processor.size
        self.crop = processor.crop_size if getattr(processor, "do_center_crop", False) else None
        self.shape = self.fixed()
        """(height, width) of every picture, None where it depends on the picture."""
        scale = 1 / processor.rescale_factor
        self.mean, self.std = (
            (torch.tensor(values) * scale).view(-1, 1, 1)
            for values in (processor.image_mean, processor.image_std)
        )
        each = torch.arange(256).view(1, 256).sub(self.mean[..., 0]).div_(self.std[..., 0])
        self.tables: np.ndarray = each.numpy()
        """(3, 256) float32: what becomes of each byte."""

    def __call__(self, images: Sequence[Image.Image]) -> Any:
        """(n, height, width, 4) uint8 of RGB pictures; the fourth value means nothing."""
        import torch

        resized = [self.resized(image) for image in images]
        out = torch.empty((len(images), *resized[0].shape[:2], 4), dtype=torch.uint8)
        for place, pixels in zip(out, resized, strict=True):
            place[..., : pixels.shape[-1]].copy_(pixels)
        return out

    def normalised(self, pixels: Any) -> Any:
        """(n, 3, height, width) float32 of what the call gave, on its device.

        On a CPU each byte's value is looked up, and the memory is that of the thread's last call:
        what was given is good until then.
        """
        if pixels.device.type == "cpu":
            return self.looked_up(pixels.numpy())
        mean, std = self.mean.to(pixels.device), self.std.to(pixels.device)
        return pixels[..., :3].permute(0, 3, 1, 2).contiguous().sub(mean).div_(std)

    def looked_up(self, pixels: np.ndarray) -> Any:
        """As `normalised`, on a CPU: in memory that is kept, since fresh memory costs a CPU more
        time than the looking up does.
        """
        import cv2
        import torch

        shape = (len(pixels), 3, *pixels.shape[1:3])
        count = math.prod(shape)
        kept = getattr(KEPT, "floats", torch.empty(0))
        if len(kept) < count:
            kept = KEPT.floats = torch.empty(count)
        found = kept[:count].view(shape)
        for picture, place in zip(pixels, found.numpy(), strict=True):
            for plane, table, values in zip(
                cv2.split(picture)[:3], self.tables, place, strict=True
            ):
                cv2.LUT(plane, table, values)
        return found

    def resized(self, image: Image.Image) -> Any:
        """(height, width, 3 or 4) uint8, resized and cropped."""
        height, width = self.target(image.height, image.width)
        pixels = resized(bytes_of(image), height, width, self.mode)
        if self.crop is not None:
            top, left = (
                int((have - want) / 2)
                for have, want in ((height, self.crop["height"]), (width, self.crop["width"]))
            )
            pixels = pixels[top : top + self.crop["height"], left : left + self.crop["width"]]
        return pixels

    def fixed(self) -> tuple[int, int] | None:
        """(height, width) of every picture where a crop or a plain size sets it, else None."""
        if self.crop is not None:
            return self.crop["height"], self.crop["width"]
        if getattr(self.size, "shortest_edge", None) is None:
            return self.size["height"], self.size["width"]
        return None

    def target(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that a picture is resized to before the crop: the plain size, or the
        shorter edge at its length.
        """
        edge = getattr(self.size, "shortest_edge", None)
        if edge is None:
            return self.size["height"], self.size["width"]
        if width <= height:
            return int(edge * height / width), edge
        return edge, int(edge * width / height)


def resized(pixels: Any, height: int, width: int, mode: str) -> Any:
    """(height, width, depth) uint8, resized by torch's own kernel for bytes.

    The axes are named so that torch sees them in its `channels_last` order, and copies nothing.
    """
    from torch.nn.functional import interpolate

    if (height, width) == pixels.shape[:2]:
        return pixels
    batch = pixels[None].permute(0, 3, 1, 2)
    return interpolate(batch, size=(height, width), mode=mode, antialias=True)[0].permute(1, 2, 0)


def bytes_of(image: Image.Image) -> Any:
    """(height, width, 4 or 3) uint8, the picture's own memory where it is one piece."""
    import torch

    try:
        array = torch.utils.dlpack.from_dlpack(pa.array(image).flatten())
        return array.view(image.height, image.width, 4)
    except (ValueError, TypeError, RuntimeError, BufferError, pa.ArrowException):
        return torch.from_numpy(np.array(image))
