"""Files that are gone, or others than when they were listed, while a run reads them."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from pairmill.errors import RunError, first_line
from pairmill.sources.input_file import Input


def check_unchanged(items: Iterable[Input], needed: bool = False) -> None:
    """Raises RunError where a local file is another now than when it was listed: what was read of
    it is not what its hash says.  `needed`: it was not read yet, so it may not be gone either.
    """
    for item in items:
        if not item.url.startswith("file://") or not item.version:
            continue
        try:
            now = os.stat(item.url.removeprefix("file://"))
        except OSError as error:
            if needed or not isinstance(error, FileNotFoundError):
                raise gone(item.name, error) from None
            continue  # it was read as it was
        if (now.st_size, str(now.st_mtime)) != (item.size_bytes, item.version):
            raise RunError(
                f"{item.name} was changed while it was read; run the same command again when "
                "nobody writes to it any more"
            )


def gone(names: str, error: OSError) -> RunError:
    """Files that were listed do not answer."""
    if isinstance(error, PermissionError):
        return RunError(
            f"{names} cannot be read by this user: {first_line(error)}; change its rights, or take "
            "it out of the source, and run the same command again"
        )
    return RunError(
        f"{names} cannot be read any more: {first_line(error)}; run the same command again when it "
        "is there, or where it is meant to be gone"
    )


@contextlib.contextmanager
def as_listed(items: Sequence[Input]) -> Iterator[None]:
    """Where files are gone, or others than when they were listed, that is what is raised, and not
    what whoever reads them made of it.
    """
    try:
        yield
    except Exception as error:
        check_unchanged(items, needed=True)
        if not isinstance(error, OSError):
            raise
        raise gone(", ".join(item.name for item in items[:3]), error) from None
