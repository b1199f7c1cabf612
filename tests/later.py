"""Large libraries, imported when a test first asks for something of them: each process that runs
tests would otherwise load them all, and most tests want none.
"""

import importlib
from typing import Any


class Later:
    """A module by its name; its attributes load it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks every object of a module for marks
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


pandas = Later("pandas")
stats = Later("scipy.stats")
tensors = Later("safetensors.torch")
torch = Later("torch")
transformers = Later("transformers")
