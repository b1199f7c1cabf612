"""Where a run's report stands: in its folder, to which a package's manifest leads."""

from dataclasses import dataclass
from typing import Any

from pairmill.errors import RunError
from pairmill.pipeline.package import MANIFEST, from_package
from pairmill.pipeline.storage import Storage

DATA = "report/data.json"
PAGE = "report/index.html"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder: `name` inside `storage`, empty where the storage is the folder itself."""

    storage: Storage
    name: str = ""

    def path(self, name: str) -> str:
        return f"{self.name}/{name}" if self.name else name

    def data(self) -> dict[str, Any]:
        """What the report shows; raises RunError."""
        if not self.storage.exists(self.path(DATA)):
            there = "it is a run without one" if self.storage.exists(self.path("plan.json")) else "it is no run's folder and no package"
            raise RunError(
                f"{self.storage.path(self.name)} holds no {DATA}: {there} (workspace/runs/NAME-DIGEST); `pairmill run` writes a report at its end"
            )
        return self.storage.read_json(self.path(DATA))

    def write(self, name: str, data: bytes) -> str:
        """Gives the file's path."""
        self.storage.write_bytes(self.path(name), data)
        return self.storage.path(self.path(name))


def run_folder(path: str, workspace: str | None = None) -> RunFolder:
    """The run that `path` is, or that wrote the package there; raises RunError.

    `workspace`: where a package's run is looked for, if not where the manifest says.
    """
    storage = Storage(path)
    if not storage.exists(MANIFEST):
        return RunFolder(storage)
    wrote = storage.read_json(MANIFEST)["run"]
    found = RunFolder(Storage(workspace or from_package(wrote["workspace"], storage.root)), f"runs/{wrote['id']}")
    if not found.storage.exists(found.path(DATA)):
        raise RunError(
            f"{path} is a package of the run {wrote['id']}, whose report is not in the workspace {found.storage.root}; "
            "name the workspace that holds it: --workspace PATH"
        )
    return found
