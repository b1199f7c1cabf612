"""Pillow's warnings kept quiet while images are read, in any number of threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class Quiet:
    """`warnings.catch_warnings` changes what the whole process has in common, and undoes it wrongly
    where two threads are in it at once; so the first thread enters it, and the last one leaves it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.undo = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.undo.close()


quiet = Quiet()
