"""Batches of images on their way to a model that sees: decoded, gathered and computed, each step
while the others work on other batches.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from PIL import Image

from pairmill.images import DecodeError, decode_rgb
from pairmill.models.decoders import Decoders
from pairmill.models.two_towers import BYTES
from pairmill.torch_device import on_all_cores, on_one_core

Answer = TypeVar("Answer")
Error = tuple[str, str]
Part = tuple[list[Error | None], dict[str, Any] | None]
"""Errors, None where an image is sound; and the image tower's inputs of the sound ones."""

AT_ONCE = 16
"""Rows that are decoded in one go."""
AHEAD = 4
"""Batches that wait at most; a batch that is never asked for must not hold memory for ever."""


class Seer(Protocol):
    """A model that images are prepared for."""

    device: str

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """The model's inputs, tensors whose first axis is the images'; called in threads."""


@dataclass
class Ready:
    """A batch for the model: errors by row, rows without one, and their inputs, on the device."""

    errors: list[Error | None]
    sound: list[int]
    images: dict[str, Any] = field(default_factory=dict)
    words: dict[str, Any] = field(default_factory=dict)


class Feed(Generic[Answer]):
    """Answers for batches of rows; `prepare` begins with those that will be asked for next.

    `words`: the texts' inputs for some rows of a batch (none, if absent); `compute`: the model, on
    a CPU with `streams` batches at a time.  Images of the column `image` are decoded in threads; in
    processes where the model is on a GPU, which threads of one Python cannot feed.  What a step
    raises is raised to who asks.
    """

    def __init__(
        self,
        towers: Seer,
        image: str,
        threads: int,
        batch_size: int,
        compute: Callable[[Ready], Answer],
        words: Callable[[pa.Table, list[int]], dict[str, Any]] | None = None,
        streams: int = 1,
    ) -> None:
        self.towers, self.image, self.words, self.compute = towers, image, words, compute
        fast = getattr(towers, "fast", None)
        self.fast: Any = fast if fast is not None and fast.shape is not None else None
        self.decoders = processes(self.fast, towers.device, threads, batch_size)
        self.pools = [ThreadPoolExecutor(threads, "feed", on_one_core)]
        # On a GPU a batch is given to it before the one ahead has come back.
        computing = 2 if towers.device == "cuda" else streams
        self.pools += [ThreadPoolExecutor(n, "feed", on_all_cores) for n in (1, computing)]
        self.waiting: dict[int, tuple[pa.Table, Future[Answer]]] = {}

    def prepare(self, rows: pa.Table) -> None:
        """Begins with rows that will be asked for next."""
        if len(self.waiting) < AHEAD:
            self.waiting[id(rows)] = (rows, self.begun(rows))

    def __call__(self, rows: pa.Table) -> Answer:
        """The answer for a batch, perhaps begun before."""
        _, begun = self.waiting.pop(id(rows), (rows, None))
        return (begun or self.begun(rows)).result()

    def begun(self, rows: pa.Table) -> "Future[Answer]":
        """A batch on its way through decoding, gathering and model, each a pool of its own."""
        decoding, gathering, computing = self.pools
        block = self.decoders.block(rows.num_rows) if self.decoders else None
        places = self.places(rows.num_rows, block)
        images = rows.column(self.image)
        parts: list[Future[Part]] = [
            decoding.submit(self.decoded, images.slice(first, AT_ONCE), block, places, first)
            for first in range(0, rows.num_rows, AT_ONCE)
        ]
        ready = gathering.submit(self.gathered, rows, parts, block, places)
        return computing.submit(lambda: self.compute(ready.result()))

    def places(self, count: int, block: int | None) -> Any:
        """Where a batch's pictures are written, (count, height, width, 4) uint8: a block of the
        memory that is shared with processes, or memory of this one; None where pictures have no
        shape that is known before.
        """
        if self.decoders is not None and block is not None:
            return self.decoders.pixels[block, :count]
        return None if self.fast is None else self.fast.empty(count, self.fast.shape)

    def decoded(self, images: pa.ChunkedArray, block: int | None, places: Any, first: int) -> Part:
        """Errors and inputs of some images, or errors alone where they are written to their places;
        `first`: the place of the first of them.
        """
        encoded = images.to_pylist()
        if self.decoders is not None and block is not None:
            return self.decoders.decode(encoded, block, first), None
        if places is not None:
            part = places.numpy()[first : first + len(encoded)]
            return [self.put(data, to) for data, to in zip(encoded, part, strict=True)], None
        sound: list[Any] = []
        errors: list[Error | None] = []
        for data in encoded:
            try:
                sound.append(decode_rgb(data))
                errors.append(None)
            except DecodeError as error:
                errors.append(("decode", str(error)))
        return errors, self.towers.pixels(sound) if sound else None

    def put(self, data: bytes, place: np.ndarray) -> Error | None:
        """Decodes a picture to its place; or says why it cannot.  The picture is gone afterwards,
        so that the next one is decoded into the same memory, which is in the core's cache.
        """
        try:
            self.fast.put(decode_rgb(data), place)
        except DecodeError as error:
            return ("decode", str(error))
        return None

    def gathered(
        self, rows: pa.Table, parts: "Sequence[Future[Part]]", block: int | None, places: Any
    ) -> Ready:
        """A batch's parts as one, on the model's device; gives the block back, whatever happens."""
        try:
            found = [part.result() for part in parts]
            errors = [error for part, _ in found for error in part]
            sound = [row for row, error in enumerate(errors) if error is None]
            if not sound:
                return Ready(errors, [])
            words = self.words(rows, sound) if self.words is not None else {}
            device = self.towers.device
            if places is None:
                pixels = [p for _, p in found if p]
                images = {name: joined([p[name] for p in pixels]) for name in pixels[0]}
                return Ready(errors, sound, sent(images, device), words)
            whole = sent({BYTES: places}, device)[BYTES]
            shared = block is not None and whole.device.type == "cpu"
            if len(sound) < len(errors) or shared:
                whole = whole[np.array(sound)]  # a copy: the block is given back
            return Ready(errors, sound, {BYTES: whole}, words)
        finally:
            if self.decoders is not None and block is not None:
                self.decoders.free(block)

    def close(self) -> None:
        """Ends threads and processes; what was begun and never asked for is not computed."""
        for pool in self.pools:
            pool.shutdown(wait=False, cancel_futures=True)
        if self.decoders is not None:
            self.decoders.close()


def processes(fast: Any, device: str, count: int, rows: int) -> Decoders | None:
    """Processes that decode for a model on a GPU; None where threads do, or must do."""
    if device != "cuda" or count < 2 or fast is None:
        return None
    return Decoders(count, fast, fast.shape, rows)


def joined(parts: Sequence[Any]) -> Any:
    """Tensors one behind the other."""
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def sent(inputs: dict[str, Any], device: str) -> dict[str, Any]:
    """Tensors by name, on the device when this returns; as they are where it has no room for them
    now, which the model's own thread will find out.
    """
    import torch

    if device != "cuda":
        return inputs
    stream = torch.cuda.Stream()
    try:
        with torch.cuda.stream(stream):
            found = {name: value.to(device, non_blocking=True) for name, value in inputs.items()}
        stream.synchronize()
    except torch.OutOfMemoryError:
        return inputs
    return found
