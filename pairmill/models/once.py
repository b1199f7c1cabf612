"""Models that several stages of a process use: loaded once, freed when the last of them ends."""

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

_LOADED: "weakref.WeakValueDictionary[Any, Any]" = weakref.WeakValueDictionary()
_LOCK = threading.Lock()
Made = TypeVar("Made")


def once(key: Any, make: Callable[[], Made]) -> Made:
    """What `make` gives, made once a process while any stage holds it."""
    with _LOCK:
        found: Made | None = _LOADED.get(key)
        if found is None:
            found = _LOADED[key] = make()
        return found
