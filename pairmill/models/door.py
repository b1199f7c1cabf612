"""A door to torchvision where its compiled part cannot load.

Processors of many families want torchvision's transforms.  PyPI's Linux wheel is built for the CUDA
build of torch; under the CPU build its compiled part does not load, and importing the package then
fails on two operators that it only describes.  Declared without a kernel, they let the rest load:
the transforms are torch alone.  Calling one of the two still fails.  Where the compiled part loads,
nothing is done.  docs/decisions/0005 has the alternatives.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from pairmill.import_hooks import Execute, spec_around

OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
KEPT: list[Any] = []
"""The declaration lives as long as its object."""


class Door(MetaPathFinder):
    """Opens the door when torchvision is first imported, whoever does it; costs nothing before."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the other finders find it, with a loader that opens the door first.

        Nothing is imported here: Python holds its one import lock meanwhile, and a thread that is
        importing torch needs it, so that the two would wait for each other for ever.
        """
        if name != "torchvision" or "torchvision" in sys.modules:
            return None

        def around(spec: ModuleSpec, execute: Execute, module: ModuleType) -> None:
            open_door(spec)
            execute(module)

        return spec_around(self, name, path, target, around)


def watch() -> None:
    """Called by `import pairmill`, before anything can import torchvision."""
    if "torchvision" not in sys.modules and not any(isinstance(f, Door) for f in sys.meta_path):
        sys.meta_path.insert(0, Door())


def open_door(spec: ModuleSpec) -> None:
    """Declares the operators that importing torchvision, which lies at `spec`, needs, if its
    compiled part does not.
    """
    folders = list(spec.submodule_search_locations or ())
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
