"""Classes of other packages and of modules beside a pipeline file: found by name, imported when
they are first asked for.
"""

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pairmill.errors import PairmillError, first_line, raised_at

T = TypeVar("T")


class BadExtension(PairmillError):
    """A class that cannot be imported, or is not what it should be; the message says where."""


def imported(target: str, base: type[T], what: str) -> type[T]:
    """The class `module:Class`.  Raises BadExtension with the file and line of what went wrong."""
    module, _, attribute = target.partition(":")
    if module.endswith(".py") and "/" not in module:
        raise BadExtension(f"{what}: write a module without .py, {target.replace('.py:', ':', 1)}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise BadExtension(
                f"{what}: no module named {error.name!r} beside the pipeline file or installed"
            ) from None
        raise BadExtension(f"{what} cannot be imported: {error}{raised_at(error)}") from None
    except AttributeError as error:
        if error.name == attribute and getattr(error.obj, "__name__", "") == module:
            raise BadExtension(f"{what}: module {module!r} has no {attribute!r}") from None
        raise BadExtension(f"{what} cannot be imported: {error}{raised_at(error)}") from None
    except SyntaxError as error:
        raise BadExtension(
            f"{what} cannot be imported: SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
        ) from None
    except TypeError as error:
        if module.startswith("."):
            raise BadExtension(
                f"{what}: write the module's name, without a path before it"
            ) from None
        raise BadExtension(
            f"{what} cannot be imported: TypeError: {first_line(error)}{raised_at(error)}"
        ) from None
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        raise BadExtension(
            f"{what} cannot be imported: {type(error).__name__}: {first_line(error)}"
            f"{raised_at(error)}"
        ) from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BadExtension(f"{what}: {attribute!r} is no subclass of {base.__name__}")
    return found


class Extensible(Mapping[str, type[T]], Generic[T]):
    """Built-in classes by name, and those that installed packages name in an entry point group."""

    def __init__(self, group: str, base: type[T], built_in: Mapping[str, type[T] | str]) -> None:
        """`built_in`: classes, or `module:Class` of those that are imported when they are
        needed.
        """
        self.group, self.base, self.built_in = group, base, built_in

    def __getitem__(self, name: str) -> type[T]:
        found = self.built_in.get(name)
        if isinstance(found, str):
            return imported(found, self.base, repr(name))
        if found is not None:
            return found
        for entry in entry_points(group=self.group, name=name):
            return imported(entry.value, self.base, f"{name!r} of the entry points {self.group}")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        others = {entry.name for entry in entry_points(group=self.group)} - set(self.built_in)
        yield from [*self.built_in, *sorted(others)]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        # what is installed is looked through only where the name is none of ours
        return name in self.built_in or any(name == known for known in self)


class Configs(Mapping[str, Any]):
    """Name → config model of the classes in an `Extensible`; `own`: where one class has several."""

    def __init__(self, kinds: Extensible[Any], own: Mapping[str, Any]) -> None:
        self.kinds, self.own = kinds, own

    def __getitem__(self, name: str) -> Any:
        return self.own[name] if name in self.own else self.kinds[name].Config

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.kinds
