"""How well each of several texts fits an image, by a two-tower model."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.images import DecodeError, decode_rgb
from pairmill.models.feed import AT_ONCE
from pairmill.models.finite import Finite
from pairmill.models.load import Spec
from pairmill.models.towers import open_towers
from pairmill.models.vectors import unit
from pairmill.torch_device import Room, in_halves

Error = tuple[str, str] | None
Scores = np.ndarray | None
"""float32, a cosine for each text of a row; None where the row has no picture."""


class TextScorer:
    """Embeds each image once and each of its texts once; a text longer than the tower's length is
    cut there, which is why long captions are compared sentence by sentence.
    """

    def __init__(self, stage: str, spec: Spec) -> None:
        self.towers = open_towers(stage, spec)
        self.finite = Finite.of(stage, spec.model, self.towers)
        self.note = self.towers.note
        self.threads = ThreadPoolExecutor(max(1, int(spec.cpus)), "text-scores")
        self.room = Room()

    def close(self) -> None:
        """Ends the decoding threads; images that wait for one are not decoded."""
        self.threads.shutdown(cancel_futures=True)

    def scores(
        self, images: pa.ChunkedArray, texts: Sequence[list[str]]
    ) -> tuple[list[Scores], list[Error]]:
        """The cosines of each image and its texts, and why rows have no picture."""
        slices = [images.slice(i, AT_ONCE) for i in range(0, len(images), AT_ONCE)]
        parts = list(self.threads.map(self.decoded, slices))
        errors = [error for part, _ in parts for error in part]
        sound = [row for row, error in enumerate(errors) if error is None]
        found: list[Scores] = [None] * len(errors)
        if sound:
            pixels = joined([p for _, p in parts if p is not None])

            def work(places: list[int]) -> list[np.ndarray]:
                return self.cosines(pixels, [texts[sound[p]] for p in places], places)

            answers = in_halves(work, list(range(len(sound))), self.room)
            judged = self.finite.judged([bool(np.isfinite(one).all()) for one in answers])
            for row, scores, error in zip(sound, answers, judged, strict=True):
                found[row], errors[row] = (None if error else scores), error
        return found, errors

    def decoded(self, images: pa.ChunkedArray) -> tuple[list[Error], dict[str, Any] | None]:
        """Errors, and the image tower's inputs of the sound images."""
        sound: list[Any] = []
        errors: list[Error] = []
        for scalar in images:
            try:
                sound.append(decode_rgb(scalar.as_py()))
                errors.append(None)
            except DecodeError as error:
                errors.append(("decode", str(error)))
        return errors, self.towers.pixels(sound) if sound else None

    def cosines(
        self, pixels: dict[str, Any], texts: list[list[str]], places: list[int]
    ) -> list[np.ndarray]:
        """For each of some neighbouring images, the cosines of its texts."""
        every = [text for own in texts for text in own]
        if not every:
            return [np.zeros(0, np.float32)] * len(places)
        images = {name: v[places[0] : places[-1] + 1] for name, v in pixels.items()}
        pictured, said = (
            unit(side) for side in self.towers.embed(images, self.towers.words(every))
        )
        found = []
        first = 0
        for image, own in zip(pictured, texts, strict=True):
            found.append(said[first : first + len(own)] @ image)
            first += len(own)
        return found


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Inputs of several parts as one."""
    import torch

    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
