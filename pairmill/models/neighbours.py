"""The door to faiss, an optional package."""

from types import ModuleType

from pairmill.errors import MissingPackage


def faiss() -> ModuleType:
    """The library of neighbour indices; raises MissingPackage."""
    try:
        import faiss as found
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise  # installed, and broken: it speaks for itself
        raise MissingPackage("faiss-cpu", "a neighbour index", "index") from None
    return found
