"""What hooks into imports have in common: pandas_later.py and models/door.py."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Execute = Callable[[ModuleType], None]


def spec_around(
    finder: MetaPathFinder,
    name: str,
    path: Sequence[str] | None,
    target: ModuleType | None,
    around: Callable[[ModuleSpec, Execute, ModuleType], None],
) -> ModuleSpec | None:
    """A module's spec as the finders beside `finder` find it, whose loader runs `around` (the spec,
    what executes the module, the module) instead of executing the module alone.
    """
    others = [other for other in sys.meta_path if other is not finder]
    found = (other.find_spec(name, path, target) for other in others)
    spec = next((s for s in found if s is not None), None)
    if spec is not None and spec.loader is not None:
        execute = spec.loader.exec_module

        def executed(module: ModuleType) -> None:
            around(spec, execute, module)

        spec.loader.exec_module = executed  # type: ignore[method-assign]
    return spec
