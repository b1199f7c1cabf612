"""torchvision from the package index beside a torch without CUDA."""

from typing import Any

import torch

KEPT: list[Any] = []
"""What was declared lives as long as the process."""


def torchvision_operators() -> None:
    """Declares the operators that torchvision's library would bring: it cannot be loaded without
    CUDA's, and readers of data use none of them.  A torch that has CUDA's loads them itself.
    """
    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)
