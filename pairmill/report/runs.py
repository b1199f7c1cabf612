"""Where a run's report stands: in its folder, to which a package's manifest leads."""

import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from pairmill.errors import BadRequest, RunError, StrangeFile
from pairmill.fates.ledger import funnel_faults
from pairmill.names import stays
from pairmill.packages.manifest import MANIFEST, read_manifest
from pairmill.redaction import shown
from pairmill.workspace.storage import Storage

DATA = "report/data.json"
PAGE = "report/index.html"


KINDS = {
    "name": str, "run": str, "funnel": dict, "packages": list, "warnings": list, "scores": list,
    "captions": list, "samples": list,
}  # fmt: skip
"""What a report's data hold, by key."""
NEAR = re.compile(r"^[A-Za-z0-9._-][A-Za-z0-9._/-]*$")
"""A relative path of plain names."""


def shape_faults(found: Any) -> list[str]:
    """What is wrong with a report's data, in words."""
    if not isinstance(found, dict):
        return [f"it holds {shown(found, 60)}, and no map"]
    faults = [
        f"its {key!r} is {shown(found.get(key), 60)}"
        for key, kind in KINDS.items()
        if not isinstance(found.get(key), kind)
    ]
    if not faults:
        faults += funnel_faults(found["funnel"])
        packages = found["packages"]
        if not all(isinstance(p, dict) and isinstance(p.get("package"), str) for p in packages):
            faults.append("one of its packages has no 'package'")
    return faults


@dataclass(frozen=True)
class RunFolder:
    """A run's folder: `name` inside `storage`, empty where the storage is the folder itself."""

    storage: Storage
    name: str = ""

    def path(self, name: str) -> str:
        """Where a file of the run is."""
        return f"{self.name}/{name}" if self.name else name

    def data(self) -> dict[str, Any]:
        """What the report shows; raises RunError."""
        if not self.storage.exists(self.path(DATA)):
            there = (
                "it is a run without one"
                if self.storage.exists(self.path("plan.json"))
                else "it is no run's folder and no package"
            )
            raise BadRequest(
                f"{self.storage.path(self.name)} holds no {DATA}: {there} "
                "(workspace/runs/NAME-DIGEST); `pairmill run` writes a report at its "
                "end"
            )
        found = self.storage.read_json(self.path(DATA))
        faults = shape_faults(found)
        if faults:
            raise StrangeFile(
                f"{self.storage.path(self.path(DATA))} is not as pairmill writes it: {faults[0]}; "
                "was it damaged? `pairmill run` writes it again"
            )
        return found

    def write(self, name: str, data: bytes) -> str:
        """Gives the file's path."""
        self.storage.write_bytes(self.path(name), data)
        return self.storage.path(self.path(name))


def run_folder(path: str, workspace: str | None = None) -> RunFolder:
    """The run that `path` is, or that wrote the package there; raises RunError.

    `workspace`: where a package's run is looked for.  A package may come from a stranger, so its
    manifest alone sends nobody anywhere: unless asked, only folders beside it are looked at, no
    variable of this machine is filled in, and no address is connected to.
    """
    storage = Storage(path)
    if not storage.exists(MANIFEST):
        return RunFolder(storage)
    manifest = read_manifest(storage, ("name", "package", "pipeline"))
    said = workspace_said(manifest["pipeline"])
    places = [workspace] if workspace else beside(said, storage)
    for place in places:
        try:
            found = Storage(place)
            runs = [f"runs/{run}" for run in found.folders("runs")]
        except (ValueError, OSError):  # a URL that needs something this machine does not have
            continue
        for run in runs:
            if found.exists(f"{run}/{DATA}") and wrote(RunFolder(found, run), manifest["package"]):
                return RunFolder(found, run)
    elsewhere = (
        "" if workspace or places else f" (its manifest says {said!r}; it was not looked at)"
    )
    raise BadRequest(
        f"{path} is a package of the pipeline {manifest['name']!r}, and no run that wrote it was "
        f"found in {', '.join(places) or 'a folder beside it'}{elsewhere}; if you trust the "
        "package, "
        "name the workspace that holds its run: --workspace PATH"
    )


def wrote(run: RunFolder, package: str) -> bool:
    """Whether a run's report tells of a package."""
    try:
        return package in [p["package"] for p in run.data()["packages"]]
    except RunError:  # a damaged report of another run
        return False


def workspace_said(pipeline: str) -> str:
    """The workspace as the pipeline file in a package's manifest names it, variables unfilled."""
    try:
        said = YAML(typ="safe", pure=True).load(pipeline)
    except Exception:  # a stranger's text; ruamel raises many kinds
        return ""
    named = said.get("workspace") if isinstance(said, dict) else None
    return str(named or "workspace")[:500]


def beside(named: str, package: Storage) -> list[str]:
    """Folders of that name beside the package or above it, on this machine's disks."""
    if not package.local or not NEAR.match(named) or ".." in named.split("/"):
        return []
    homes = [package.base.rpartition("/")[0]]
    homes.append(homes[0].rpartition("/")[0])
    found = (f"{home}/{named}" for home in homes if home)
    return [p for p in found if stays(p, p.removesuffix(f"/{named}"))]
