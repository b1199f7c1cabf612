"""Where a run's report stands: in its folder, to which a package's manifest leads."""

import os
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from pairmill.errors import RunError
from pairmill.packages.package import MANIFEST
from pairmill.plan.yaml_file import VARIABLE
from pairmill.workspace.storage import Storage

DATA = "report/data.json"
PAGE = "report/index.html"


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
            raise RunError(
                f"{self.storage.path(self.name)} holds no {DATA}: {there} "
                "(workspace/runs/NAME-DIGEST); `pairmill run` writes a report at its "
                "end"
            )
        return self.storage.read_json(self.path(DATA))

    def write(self, name: str, data: bytes) -> str:
        """Gives the file's path."""
        self.storage.write_bytes(self.path(name), data)
        return self.storage.path(self.path(name))


def run_folder(path: str, workspace: str | None = None) -> RunFolder:
    """The run that `path` is, or that wrote the package there; raises RunError.

    `workspace`: where a package's run is looked for, if not where its pipeline says.
    """
    storage = Storage(path)
    if not storage.exists(MANIFEST):
        return RunFolder(storage)
    manifest = storage.read_json(MANIFEST)
    if not {"name", "package", "pipeline"} <= set(manifest):
        raise RunError(f"{path} holds a {MANIFEST} that pairmill did not write")
    places = [workspace] if workspace else workspaces(manifest["pipeline"], storage.root)
    for place in places:
        try:
            found = Storage(place)
            runs = [f"runs/{run}" for run in found.folders("runs")]
        except (ValueError, OSError):  # a URL that needs something this machine does not have
            continue
        for run in runs:
            if found.exists(f"{run}/{DATA}") and manifest["package"] in [
                p["package"] for p in found.read_json(f"{run}/{DATA}")["packages"]
            ]:
                return RunFolder(found, run)
    raise RunError(
        f"{path} is a package of the pipeline {manifest['name']!r}, and no run that wrote it "
        f"was found in {', '.join(places) or 'any workspace'}; "
        "name the workspace that holds its run: --workspace PATH"
    )


def workspaces(pipeline: str, package: str) -> list[str]:
    """Where the workspace may lie, by the pipeline as a package's manifest tells it: beside the
    package, as its path says.
    """
    said = YAML(typ="safe").load(pipeline)
    named = filled(str(said.get("workspace") or "workspace"))
    if "://" in named or os.path.isabs(named):
        return [named]
    paths = [
        os.path.normpath(filled(str(output.get("path", ""))))
        for output in said.get("outputs") or []
    ]
    homes = [package.removesuffix(f"/{path}") for path in paths if package.endswith(f"/{path}")]
    return [f"{home}/{named}" for home in dict.fromkeys([*homes, package.rpartition("/")[0]])]


def filled(text: str) -> str:
    """With environment variables put in as a pipeline file's are; one that is not set here stays as
    it is.
    """
    return VARIABLE.sub(
        lambda m: os.environ.get(m[1] or "", m[2] if m[2] is not None else m[0]), text
    )
