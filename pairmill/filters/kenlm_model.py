"""A KenLM file: negative log-probabilities of texts by an n-gram model."""

import math
from typing import Any

import numpy as np

from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.models.finite import KIND

MOST_NATS = float(np.finfo(np.float32).max) * math.log(2)
"""Beyond it a text's bits are no number in float32."""
IMPOSSIBLE = (KIND, "the n-gram model gives one of its words a probability of 0 (`-inf`)")


class KenlmModel:
    """An n-gram model from an ARPA file or from KenLM's binary one.

    A line of a text is a sentence: its words are those between spaces, or the pieces of a
    sentencepiece model, as CCNet's files want it, and its end is predicted, too.
    """

    note = ""

    def __init__(self, stage: str, path: str, pieces: str | None, max_tokens: int) -> None:
        try:
            import kenlm
        except ModuleNotFoundError:
            raise MissingPackage("kenlm", f"stage {stage!r} with `kenlm:`", "kenlm") from None
        config = kenlm.Config()
        config.show_progress = False
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        try:
            self.model = kenlm.Model(path, config)
        except OSError as error:
            raise StageBroken(
                f"stage {stage!r}: KenLM cannot read {path} ({first_line(error)}); give an ARPA "
                "file or what KenLM's build_binary makes of one"
            ) from None
        self.pieces = opened_pieces(stage, pieces) if pieces else None
        self.max_tokens = max_tokens

    def __call__(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """(negative log-probability in nats, float64; tokens predicted, int64) of each text."""
        found = [self.score(text) for text in texts]
        nats, tokens = (np.array(part) for part in zip(*found, strict=True)) if found else ([], [])
        return np.asarray(nats, np.float64), np.asarray(tokens, np.int64)

    def judged(self, nats: np.ndarray) -> list[tuple[str, str] | None]:
        """An error for each text with a word that the file gives no chance at all (`-inf`)."""
        finite = np.abs(nats) < MOST_NATS
        return [None if fine else IMPOSSIBLE for fine in finite.tolist()]

    def score(self, text: str) -> tuple[float, int]:
        """Of one text; (0, 0) of one without words."""
        nats, predicted, left = 0.0, 0, self.max_tokens
        for line in text.splitlines():
            words = (self.pieces.encode(line, out_type=str) if self.pieces else line.split())[:left]
            if words:
                left -= len(words)
                nats -= self.model.score(" ".join(words)) * math.log(10)
                predicted += len(words) + 1
        return nats, predicted


def opened_pieces(stage: str, path: str) -> Any:
    """A sentencepiece model; raises StageBroken where the file is none."""
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_file=path)
    except (OSError, RuntimeError) as error:
        raise StageBroken(
            f"stage {stage!r}: {path} is no sentencepiece model ({first_line(error)})"
        ) from None
