"""pandas is imported when somebody asks for it, and not by pyarrow, which imports it, where it is
installed, at the first Python value that it converts: a quarter of a second and 26 MB in every
process, of which pairmill has no use.

pyarrow asks once whether there is a pandas and keeps the answer.  It is told no; whoever imports
pandas later has pyarrow look again, so that a Series is to it what it always was.
"""

import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class LookAgain(Loader):
    """Loads pandas as ever; then pyarrow looks for it again."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As ever."""
        made: ModuleType | None = self.usual.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As ever; `pd` is the shim's own way to a pandas that has to be there."""
        module.__spec__.loader = self.usual  # type: ignore[union-attr]
        self.usual.exec_module(module)
        from pyarrow import lib

        lib._pandas_api.pd  # noqa: B018


class Watch(MetaPathFinder):
    """Waits for the first import of pandas, then steps aside.  `hides`: the thread that finds none
    meanwhile.
    """

    def __init__(self) -> None:
        self.hides: int | None = threading.get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Finds pandas as any finder does."""
        if name != "pandas":
            return None
        if self.hides == threading.get_ident():
            raise ModuleNotFoundError("No module named 'pandas'", name=name)
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LookAgain(spec.loader)
        return spec


def leave_pandas_for_later() -> None:
    """Lets pyarrow think that there is no pandas, until there is; does nothing where one is loaded
    or this pyarrow asks in another way.
    """
    from pyarrow import array, lib

    shim = getattr(lib, "_pandas_api", None)
    if "pandas" in sys.modules or not hasattr(type(shim), "pd"):
        return
    watch = Watch()
    sys.meta_path.insert(0, watch)
    try:
        array([None])
    finally:
        watch.hides = None
