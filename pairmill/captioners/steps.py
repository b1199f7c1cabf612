"""What is remembered of each step of `generate`, beside the tokens that it gives."""

from collections.abc import Sequence
from typing import Any

from pairmill.captioners.engine import Sampling
from pairmill.errors import StageBroken


class BestScores:
    """Among the steps of `generate`: remembers each row's best score, which is a number only where
    all are.
    """

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.steps.append(scores.amax(-1))
        return scores

    def finite(self, tokens: Sequence[int]) -> list[bool]:
        """For each row, whether the model's scores were, as long as it wrote `tokens` of them."""
        import torch

        if not self.steps:  # a checkpoint's own `generate` may have no steps
            return [True] * len(tokens)
        fine: list[list[bool]] = torch.stack(self.steps, 1).isfinite().tolist()
        return [all(row[: count + 1]) for row, count in zip(fine, tokens, strict=True)]


def check_taken(stage: str, best: BestScores, sampling: Sampling) -> None:
    """Raises StageBroken where a model's `generate` passed over the steps that it was given, and
    with them over what the stage says.
    """
    if not best.steps and (sampling.temperature > 0 or sampling.logprobs):
        raise StageBroken(
            f"stage {stage!r}: the model's own `generate` takes no steps, so that it neither draws "
            "by `temperature` nor tells `logprobs`; leave both out, or take another model"
        )


class TokenLogprobs:
    """Among the steps of `generate`: remembers the log-probability of each token that is taken, out
    of the model's own scores.
    """

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.last: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self.last is not None:
            self.take(input_ids)
        self.last = scores.float().log_softmax(-1)
        return scores

    def take(self, ids: Any) -> None:
        """The token that was taken last stands at the end of `ids`."""
        self.taken.append(self.last.gather(1, ids[:, -1:].to(self.last.device)))

    def of(self, out: Any) -> list[list[float]]:
        """For each row of what `generate` gave: its new tokens', in order."""
        import torch

        self.take(out)
        rows: list[list[float]] = torch.cat(self.taken, 1).tolist()
        return rows
