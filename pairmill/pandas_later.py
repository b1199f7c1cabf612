"""pandas, imported when somebody uses it: pyarrow imports it to ask of a list whether it is one of
pandas' objects, which takes a fifth of a second and 30 MB of each process.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from pairmill.import_hooks import Execute, spec_around

PANDAS, PYARROW = "pandas", "pyarrow"


class Afterwards(MetaPathFinder):
    """Calls `then` as soon as a module has been imported; while `hidden`, it is not found."""

    def __init__(self, module: str, then: Callable[[], object]) -> None:
        self.module, self.then = module, then
        self.hidden = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the other finders find it."""
        if fullname != self.module:
            return None
        if self.hidden:
            raise ModuleNotFoundError(f"no module named {fullname!r} yet", name=fullname)

        def around(spec: ModuleSpec, execute: Execute, module: ModuleType) -> None:
            execute(module)
            self.then()

        return spec_around(self, fullname, path, target, around)


def pandas_later() -> None:
    """Has pyarrow look for pandas and find none, as soon as pyarrow is there; nothing where pandas
    is there already.
    """
    if PANDAS in sys.modules:
        return
    if PYARROW in sys.modules:
        look_and_find_none()
    else:
        sys.meta_path.insert(0, Afterwards(PYARROW, look_and_find_none))


def look_and_find_none() -> None:
    """pyarrow looks once; nothing where it could not be told of pandas later."""
    import pyarrow as pa

    if not hasattr(type(getattr(pa.lib, "_pandas_api", None)), "pd"):
        return
    finder = Afterwards(PANDAS, tell_pyarrow)
    sys.meta_path.insert(0, finder)
    finder.hidden = True
    try:
        pa.array([None])
    finally:
        finder.hidden = False


def tell_pyarrow() -> None:
    """pyarrow looks for pandas again, and from then on knows its objects."""
    from pyarrow.lib import _pandas_api

    with contextlib.suppress(ImportError):  # it is of a version that pyarrow does not take
        _ = _pandas_api.pd
