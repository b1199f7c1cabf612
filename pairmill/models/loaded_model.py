"""A model in a process, and who computes with it when."""

import copy
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoadedModel:
    """A model on its device, its processor (or tokenizer), and how it was loaded."""

    model: Any
    processor: Any
    device: str
    dtype: Any
    note: str
    at_once: int
    """Calls that compute at a time, where one does not know of another: as many as there are cores
    for.
    """
    twins: bool = False
    """Whether calls that leave marks on the model may have one each."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the model computes: threads and stages may share it."""
    words_lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the tokenizer is used, which fails in two threads at once."""
    idle: list[Any] = field(default_factory=list)
    """Twins of the model that nobody computes with now."""

    def __post_init__(self) -> None:
        self.turns = threading.BoundedSemaphore(self.at_once)
        """Held while a model computes of which one call does not know of another."""

    @contextmanager
    def alone(self) -> Iterator[Any]:
        """The model for a call that leaves marks on it, as `generate` does of some families (where
        images stand, caches): a twin that no other call has meanwhile.
        """
        with self.turns if self.twins else self.lock:
            if not self.twins:
                yield self.model
                return
            model = self.idle.pop() if self.idle else twin(self.model)
            try:
                yield model
            finally:
                self.idle.append(model)


def twin(model: Any) -> Any:
    """The model's modules once more, around the same weights."""
    weights = itertools.chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in weights})
