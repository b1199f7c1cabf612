"""Inputs on their way to a model's device and its answers on their way back; neither waits for what
the device computes meanwhile.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

Inputs = Mapping[str, Any]
"""A tower's inputs by name: tensors whose first axis is the rows'."""
LONGER = 8
"""A batch's longest texts, one in so many, are computed apart."""
WORTH = 0.75
"""Share of the longest text's length up to which that pays."""


def placed(inputs: Inputs, device: str, dtype: Any) -> dict[str, Any]:
    """Inputs on the model's device, pixels in its precision; nothing waits for the device."""
    return {
        name: (value.pin_memory() if device == "cuda" and not value.is_cuda else value).to(
            device,
            dtype if dtype and value.is_floating_point() else value.dtype,
            non_blocking=True,
        )
        for name, value in inputs.items()
    }


def features(answer: Any) -> Any:
    """transformers 5 wraps the projected features in an output object; 4 gave the tensor."""
    return answer if hasattr(answer, "shape") else answer.pooler_output


def beside(device: str) -> Any:
    """A context for small work that may run between the kernels of larger work on a GPU; nothing
    elsewhere.
    """
    import torch

    if device != "cuda":
        return nullcontext()
    return torch.cuda.stream(torch.cuda.Stream(priority=-1))


def leaving(answer: Any) -> Callable[[], np.ndarray]:
    """Begins to bring vectors to the CPU; what it gives waits for them: float32, (n, d)."""
    import torch

    found = features(answer).float()
    if not found.is_cuda:
        return found.numpy
    here = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
    here.copy_(found, non_blocking=True)
    there = torch.cuda.Event(blocking=True)
    there.record()

    def wait() -> np.ndarray:
        there.synchronize()
        return here.numpy()

    return wait


def by_length(mask: Any) -> list[tuple[Any, int]]:
    """Rows of like length, each part with the length that holds its texts: all, or the longest of
    them apart, since one text of 77 tokens would make all of a batch that long.
    """
    lengths, order = mask.sum(1).sort()
    few = len(order) - len(order) // LONGER
    short, long = int(lengths[few - 1]), int(lengths[-1])
    if len(order) < 4 * LONGER or short > WORTH * long:
        return [(order, long)]
    return [(order[:few], short), (order[few:], long)]
