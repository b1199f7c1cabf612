"""Packages that a model needs beside the core's."""

from pairmill.errors import StageBroken

INSTALLED_BY = {
    "peft": "'pairmill[models]'",
    "gptqmodel": "--no-build-isolation gptqmodel",  # its build looks for torch
}
"""What pip takes for a package, where that is not its name."""


def needs(stage: str, package: str, what: str) -> None:
    """Raises StageBroken where a package is not installed, with what installs it."""
    from importlib.util import find_spec

    try:
        there = find_spec(package) is not None
    except ModuleNotFoundError:  # of a package within a package
        there = False
    if not there:
        name = INSTALLED_BY.get(package) or package.replace("_", "-").replace(".", "-")
        raise StageBroken(
            f"stage {stage!r}: {what} needs the package {package!r}, which is not installed: "
            f"pip install {name}"
        )
