"""What a worker process that Ray starts for a run does before anything else."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

from pairmill.plan.named_modules import as_told
from pairmill.safe_output import redact_streams

HOOK = "pairmill.cluster.worker_start.begin"
STRANGE_FOLDER = "PAIRMILL_STRANGE_FOLDER"
"""The folder in which the driver was started, which is not on the driver's `sys.path`; Ray puts it
at the front of its workers'.
"""


class WithoutFolder(MetaPathFinder):
    """Takes a folder off `sys.path` before each import; Ray adds it when the first task comes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if self.folder in sys.path:
            sys.path[:] = [p for p in sys.path if p != self.folder]


def begin() -> None:
    """Finds the modules that the pipeline file names and no others beside it; prints no secret."""
    redact_streams()
    as_told()
    if strange := os.environ.get(STRANGE_FOLDER):
        sys.meta_path.insert(0, WithoutFolder(strange))
