"""transformers, imported whole, whichever thread is the first to ask for it.

At the end of its import its module puts another one in its own place.  A thread whose `import`
began meanwhile waits for the end, and is still given the one that was replaced, which has no
classes; so the module is looked up once more.
"""

import sys
from typing import Any

LIBRARIES = ("torch", "transformers.modeling_utils")
"""What every model needs and takes seconds to import."""


def transformers() -> Any:
    """The module."""
    import transformers

    return sys.modules[transformers.__name__]
