"""An image processor's resize, crop and normalisation without its copies.

torchvision's processors spend most of their time on copies: a picture becomes an array, a tensor of
another layout, a stack.  Here the decoded picture is resized where it lies, by C that computes no
more than the crop keeps (images/resize.c), or by torch where that was not compiled.  Either is used
only for a processor whose answers it repeats bit by bit on pictures of many shapes, which is tried
at load.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pairmill.images.resizing import Wanted, library, normalise, resize_into

MODES = {2: "bilinear", 3: "bicubic"}
"""PIL's numbers of the resampling filters that torch has for bytes."""
TRIED = ((1, 1), (5, 300), (333, 47), (224, 224), (640, 480), (451, 1203))
KEPT = threading.local()
"""`floats`: memory for this thread's numbers, kept since fresh memory costs a CPU more time than
what is written there.
"""
PLAIN = ("do_resize", "do_rescale", "do_normalize")


def fast_pixels(processor: Any) -> "FastPixels | None":
    """The same as the processor, faster; None where that cannot be shown."""
    if getattr(processor, "backend", "") != "torchvision" or getattr(processor, "do_pad", False):
        return None
    if not all(getattr(processor, name, False) for name in PLAIN):
        return None
    rng = np.random.default_rng(0)
    tried: list[tuple[Image.Image, Any]] = []
    try:
        for width, height in TRIED:
            picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
            tried.append((picture, dict(processor(images=[picture], return_tensors="pt"))))
    except Exception:  # processors refuse shapes in many ways
        return None
    for in_c in [True, False] if library() is not None else [False]:
        try:
            fast = FastPixels(processor, in_c)
            if all(fast.repeats(picture, own) for picture, own in tried):
                return fast
        except Exception:  # a processor of another kind: any attribute may lack
            continue
    return None


class FastPixels:
    """Pictures as the model's device wants them, in two halves: a thread makes bytes of one shape
    out of them, and `normalised` makes of these, wherever they lie, what the processor gives.
    """

    def __init__(self, processor: Any, in_c: bool = False) -> None:
        import torch

        self.in_c = in_c
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
        shape = self.shape or self.target(images[0].height, images[0].width)
        found = self.empty(len(images), shape)
        for image, place in zip(images, found.numpy(), strict=True):
            self.put(image, place)
        return found

    def empty(self, count: int, shape: tuple[int, int]) -> Any:
        """(count, *shape, 4) uint8 of any values."""
        import torch

        return torch.empty((count, *shape, 4), dtype=torch.uint8)

    def put(self, image: Image.Image, place: np.ndarray) -> None:
        """Writes an RGB picture's pixels, resized and cropped, to (height, width, 4) uint8."""
        import torch

        height, width = self.target(image.height, image.width)
        top, left = (
            (int((height - self.crop["height"]) / 2), int((width - self.crop["width"]) / 2))
            if self.crop is not None
            else (0, 0)
        )
        compiled = library() if self.in_c else None
        if compiled is not None:
            wanted = Wanted(height, width, top, left)
            resize_into(compiled, image, wanted, self.mode, place)
            return
        pixels = resized(bytes_of(image), height, width, self.mode)
        pixels = pixels[top : top + place.shape[0], left : left + place.shape[1]]
        torch.from_numpy(place)[..., : pixels.shape[-1]].copy_(pixels)

    def repeats(self, image: Image.Image, own: dict[str, Any]) -> bool:
        """Whether a picture becomes what the processor itself made of it."""
        import torch

        if set(own) != {"pixel_values"}:
            return False
        return torch.equal(own["pixel_values"], self.normalised(self([image])))

    def normalised(self, pixels: Any) -> Any:
        """(n, 3, height, width) float32 of what the call gave, on its device.

        On a CPU the memory is that of the thread's last call: what was given is good until then.
        """
        import torch

        if pixels.device.type != "cpu":
            mean, std = self.mean.to(pixels.device), self.std.to(pixels.device)
            return pixels[..., :3].permute(0, 3, 1, 2).contiguous().sub(mean).div_(std)
        shape = (len(pixels), 3, *pixels.shape[1:3])
        count = math.prod(shape)
        kept = getattr(KEPT, "floats", torch.empty(0))
        if len(kept) < count:
            kept = KEPT.floats = torch.empty(count)
        found = kept[:count].view(shape)
        compiled = library() if self.in_c else None
        if compiled is None:
            self.look_up(pixels.numpy(), found.numpy())
        else:
            mean, std = self.mean.flatten().tolist(), self.std.flatten().tolist()
            normalise(compiled, pixels.contiguous().numpy(), mean, std, found.numpy())
        return found

    def look_up(self, pixels: np.ndarray, found: np.ndarray) -> None:
        """As `normalised`, byte by byte in a table."""
        import cv2

        for picture, place in zip(pixels, found, strict=True):
            for plane, table, values in zip(
                cv2.split(picture)[:3], self.tables, place, strict=True
            ):
                cv2.LUT(plane, table, values)

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
