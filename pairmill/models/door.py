"""A door to torchvision where its compiled part cannot load.

Processors of many families want torchvision's transforms.  PyPI's Linux wheel is built for the CUDA
build of torch; under the CPU build its compiled part does not load, and importing the package then
fails on two operators that it only describes.  Declared without a kernel, they let the rest load:
the transforms are torch alone.  Calling one of the two still fails.  Where the compiled part loads,
nothing is done.  docs/decisions/0005 has the alternatives.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
KEPT: list[Any] = []
"""The declaration lives as long as its object."""


class Door(MetaPathFinder):
    """Opens the door when torchvision is first imported, whoever does it; costs nothing before."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Finds nothing; declares the operators at the first import of torchvision, then steps
        aside.
        """
        if name == "torchvision" and self in sys.meta_path:
            sys.meta_path.remove(self)
            open_door()
        return None


def watch() -> None:
    """Called by `import pairmill`, before anything can import torchvision."""
    if "torchvision" not in sys.modules and not any(isinstance(f, Door) for f in sys.meta_path):
        sys.meta_path.insert(0, Door())


def open_door() -> None:
    """Declares the operators that importing torchvision needs, if its compiled part does not."""
    spec = importlib.util.find_spec("torchvision")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    compiled = [f for folder in folders for f in Path(folder).glob("_C*") if f.suffix != ".py"]
    if not folders or loads(compiled):
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + SCHEMA)
    KEPT.append(library)


def loads(libraries: list[Path]) -> bool:
    """Whether torch can load the first of these files."""
    import torch

    try:
        torch.ops.load_library(str(libraries[0]))
    except (OSError, ImportError, IndexError):
        return False
    return True
