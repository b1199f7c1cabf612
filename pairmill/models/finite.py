"""Whether what a model says are numbers.

Weights that hold NaN, and a precision that is too narrow for a picture, give NaN or infinity where
a score or a token should be.  The first is the checkpoint's fault and ends the run; the second is
the row's.
"""

from collections.abc import Sequence
from typing import Any

from pairmill.errors import StageBroken

Error = tuple[str, str]
KIND = "not_finite"
ALL_BAD = 5
"""Rows without a number from which on the fault is the model's, where no row had one yet."""
SHOWN = 3
"""Names of weights in a message."""


class Finite:
    """Judges rows by whether a model's answers are finite; looks at its weights only where one is
    not.
    """

    def __init__(self, stage: str, model: str, module: Any) -> None:
        self.stage, self.model, self.module = stage, model, module
        self.fine = self.bad = 0

    @classmethod
    def of(cls, stage: str, model: str, holder: Any) -> "Finite":
        """For what holds a model: a LoadedModel, or towers with one."""
        return cls(stage, model, getattr(getattr(holder, "loaded", holder), "model", None))

    def judged(self, finite: Sequence[bool]) -> list[Error | None]:
        """An error for each row that has no finite answer; raises StageBroken where the model gives
        none to any.
        """
        bad = len(finite) - sum(map(bool, finite))
        self.fine += len(finite) - bad
        if not bad:
            return [None] * len(finite)
        self.bad += bad
        start = f"stage {self.stage!r}: model {self.model!r}"
        broken = faulty_weights(self.module)
        if broken:
            raise StageBroken(f"{start} {told(broken)}")
        precision = precision_of(self.module)
        wider = "; a wider `dtype` may help" if precision in ("float16", "bfloat16") else ""
        if not self.fine and self.bad >= ALL_BAD:
            raise StageBroken(
                f"{start} answers every row with NaN or infinity in {precision}, though its "
                f"weights are finite{wider}"
            )
        error = (KIND, f"the model answers with NaN or infinity in {precision}{wider}")
        return [None if one else error for one in finite]


def told(broken: Sequence[str]) -> str:
    """What is wrong with a model's weights, in words."""
    more = f", … ({len(broken)} tensors)" if len(broken) > SHOWN else ""
    return (
        f"has weights that are NaN or infinite: {', '.join(broken[:SHOWN])}{more}. Fetch the "
        "checkpoint again; if they are so in the file, it is damaged, or `dtype` too narrow for it"
    )


def faulty_weights(module: Any) -> list[str]:
    """Names of the tensors that hold NaN or infinity; of buffers, which may be masks, NaN alone."""
    if not hasattr(module, "named_parameters"):
        return []
    weights = [(name, value, True) for name, value in module.named_parameters()]
    weights += [(name, value, False) for name, value in module.named_buffers()]
    return [name for name, value, finite in weights if is_faulty(value, finite)]


def is_faulty(value: Any, finite: bool) -> bool:
    """Whether a tensor holds NaN, or, where it has to be finite, infinity."""
    if value.is_meta or not value.is_floating_point():
        return False
    if value.element_size() == 1:
        value = value.float()  # eight bits have no such question of their own
    wrong = value.isnan() if not finite else ~value.isfinite()
    return bool(wrong.any())


def precision_of(module: Any) -> str:
    """The precision of a model's first weights, in words."""
    for value in module.parameters() if hasattr(module, "parameters") else ():
        if value.is_floating_point():
            return str(value.dtype).removeprefix("torch.")
    return "its precision"
