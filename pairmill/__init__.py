"""pairmill: raw web image–text data in, training shards out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pairmill.models.door import watch
from pairmill.version import __version__

watch()

if TYPE_CHECKING:
    from pairmill.api import Pipeline
    from pairmill.run_result import RunResult
    from pairmill.schemas.arrow import column
    from pairmill.schemas.config import SPEED, StageConfig
    from pairmill.stages.base import GlobalStage, Stage

_HOME = {
    "Pipeline": "pairmill.api",
    "RunResult": "pairmill.run_result",
    "Stage": "pairmill.stages.base",
    "GlobalStage": "pairmill.stages.base",
    "StageConfig": "pairmill.schemas.config",
    "SPEED": "pairmill.schemas.config",
    "column": "pairmill.schemas.arrow",
}
__all__ = [
    "SPEED",
    "GlobalStage",
    "Pipeline",
    "RunResult",
    "Stage",
    "StageConfig",
    "__version__",
    "column",
]


def __getattr__(name: str) -> Any:
    """Loads the public names when they are first used, so that `import pairmill` stays light."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'pairmill' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, also those that are not loaded yet."""
    return sorted(__all__)
