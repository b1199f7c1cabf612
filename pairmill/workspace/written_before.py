"""Folders that pairmill wrote: workspaces, and the packages that runs of a pipeline made before."""

import os
import re
from collections.abc import Callable

from pairmill.schemas.hashing import digest
from pairmill.workspace.storage import SIGN, Storage

WORKSPACE = "a workspace of pairmill"
PACKAGE = "written by this pipeline"


def remembered_as(place: str) -> str:
    """Name of the file in a run's `packages` that remembers the package at a place, whichever links
    lead there.
    """
    place = os.path.realpath(place) if place.startswith("/") else place
    return f"{digest(place)[:16]}.json"


def written_before(workspace: str, pipeline: str) -> Callable[[str], str | None]:
    """What a folder of this machine is, if no input: a workspace, or a package that an earlier run
    of the pipeline wrote.
    """
    storage = Storage(workspace)
    own = re.compile(rf"{re.escape(pipeline)}-[0-9a-f]{{10}}").fullmatch
    packages = {
        file.rpartition("/")[2]
        for run in (filter(own, storage.folders("runs")) if storage.local else ())
        for file, _ in storage.files(f"runs/{run}/packages")
    }

    def told(folder: str) -> str | None:
        return is_workspace(folder) or (PACKAGE if remembered_as(folder) in packages else None)

    return told


def is_workspace(folder: str) -> str | None:
    """That a folder of this machine is a workspace, if it is one."""
    return WORKSPACE if os.path.isfile(os.path.join(folder, SIGN)) else None
