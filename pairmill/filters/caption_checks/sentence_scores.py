"""How well each sentence of a caption fits the image, by a two-tower model."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.filters.clip import AT_ONCE, open_towers, unit
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.load import Spec
from pairmill.texts.words import sentences
from pairmill.torch_device import Room, in_halves

Error = tuple[str, str] | None
Score = float | None


class SentenceScorer:
    """Embeds each image once and each of its texts once; texts longer than the tower's length are
    cut there, which is why sentences are looked at one by one.
    """

    def __init__(self, stage: str, spec: Spec) -> None:
        self.towers = open_towers(stage, spec)
        self.note = self.towers.note
        self.threads = ThreadPoolExecutor(max(1, int(spec.cpus)), "caption-checks")
        self.room = Room()

    def close(self) -> None:
        self.threads.shutdown(cancel_futures=True)

    def scores(
        self, images: pa.ChunkedArray, captions: list[str], alts: list[str | None]
    ) -> tuple[list[list[Score]], list[Error]]:
        """([mean, least, the alt text's] cosine of each row, None where there is none), and why
        rows have no picture.
        """
        slices = [images.slice(i, AT_ONCE) for i in range(0, len(images), AT_ONCE)]
        parts = list(self.threads.map(self.decoded, slices))
        errors = [error for part, _ in parts for error in part]
        sound = [row for row, error in enumerate(errors) if error is None]
        found: list[list[Score]] = [[None] * len(errors) for _ in range(3)]
        if sound:
            pixels = joined([p for _, p in parts if p is not None])
            texts = [[*sentences(captions[row]), alts[row] or ""] for row in sound]
            places = list(range(len(sound)))

            def work(rows: list[int]) -> list[np.ndarray]:
                return self.cosines(pixels, texts, rows)

            for row, scores in zip(sound, in_halves(work, places, self.room), strict=True):
                own, alt = scores[:-1], scores[-1]
                if len(own):
                    found[0][row], found[1][row] = float(own.mean()), float(own.min())
                found[2][row] = float(alt) if alts[row] else None
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
        self, pixels: dict[str, Any], texts: list[list[str]], rows: list[int]
    ) -> list[np.ndarray]:
        """For each of some neighbouring rows, the cosines of its image and its texts."""
        images = {name: v[rows[0] : rows[-1] + 1] for name, v in pixels.items()}
        words = self.towers.words([text for row in rows for text in texts[row]])
        pictured, said = (unit(side) for side in self.towers.embed(images, words))
        found = []
        first = 0
        for place, row in enumerate(rows):
            end = first + len(texts[row])
            found.append(said[first:end] @ pictured[place])
            first = end
        return found


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Inputs of several parts as one."""
    import torch

    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
