"""transformers, imported whole, whichever thread is the first to ask for it.

While it is imported its module puts another one in its own place, so a thread that waits for
another thread's import is given the one that was replaced, which has no classes.
"""

import sys
import threading
from typing import Any

LOCK = threading.Lock()


def transformers() -> Any:
    """The module."""
    with LOCK:
        import transformers
    return sys.modules[transformers.__name__]
