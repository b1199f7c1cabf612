"""How a run was started, kept in its folder, so that the run can be opened again by that folder
alone.
"""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pairmill.errors import BadRequest, PipelineFileError, StrangeFile
from pairmill.plan.document import Document
from pairmill.plan.load import SET_LINE, Loaded, load_pipeline
from pairmill.plan.yaml_file import VARIABLE, read_document
from pairmill.redaction import GONE, is_secret, redact
from pairmill.workspace.encoding import sealed
from pairmill.workspace.storage import Storage

FILE = "started.json"
HIDDEN = re.compile(rf"(?<=[\s\[{{,:]){re.escape(GONE)}(?=\s*(?:[,}}\]#]|$))", re.MULTILINE)
"""What redaction leaves of a secret that stood without quotes: an alias to YAML, unless quoted."""
OnFolder = Callable[[Storage, str], None]


@dataclass(frozen=True)
class Started:
    """How a run was started."""

    base: str
    """Folder that relative paths of data mean."""
    home: str
    """Folder of the files that the pipeline names."""
    limit: int | None = None
    variables: dict[str, str] = field(default_factory=dict)
    """What the environment variables held that the file names, but for secrets."""

    def write(self, storage: Storage, folder: str) -> None:
        """Into a run's folder."""
        storage.write_json(f"{folder}/{FILE}", sealed(asdict(self)))

    def noted_before(self, then: OnFolder) -> OnFolder:
        """What a run does once it has a folder: this is written there, then `then` goes on."""

        def on_folder(storage: Storage, folder: str) -> None:
            self.write(storage, folder)
            then(storage, folder)

        return on_folder

    @classmethod
    def read(cls, storage: Storage) -> "Started":
        """From a run's folder; raises RunError."""
        if not storage.exists(FILE):
            raise BadRequest(
                f"{storage.root} holds no {FILE}: it is no run's folder, or of a run by an older "
                "pairmill; name the pipeline file instead"
            )
        found = storage.read_json(FILE)
        base, home, limit = (found.get(key) for key in ("base", "home", "limit"))
        variables = found.get("variables") or {}
        sound = isinstance(base, str) and isinstance(home, str) and isinstance(variables, dict)
        if not sound or not (limit is None or isinstance(limit, int)):
            raise StrangeFile(f"{storage.path(FILE)} is not as pairmill writes it")
        return cls(base, home, limit, {str(k): str(v) for k, v in variables.items()})


def reopened(folder: str) -> tuple[Loaded, Started]:
    """The pipeline of a run's folder, as it was run; raises RunError.

    A folder may come from a stranger, and must not make this process load code: a run with stages
    of one's own is opened by its pipeline file alone.
    """
    storage = Storage(folder)
    started = Started.read(storage)
    text = HIDDEN.sub(f'"{GONE}"', storage.read_bytes("pipeline.yaml").decode())
    sets = dict(SET_LINE.findall(text))
    with tempfile.TemporaryDirectory(prefix="pairmill-run-") as home:
        file = Path(home) / "pipeline.yaml"
        file.write_text(text, "utf-8")
        if own := own_stages(file, sets, started.variables):
            raise BadRequest(
                f"the run has stages of one's own ({', '.join(own)}), and a run's folder loads no "
                "code; name the pipeline file instead of the folder"
            )
        try:
            base, named = started.base, started.variables
            return load_pipeline(file, sets, base, started.home, named), started
        except PipelineFileError as error:
            where = storage.path("pipeline.yaml")
            raise PipelineFileError([replace(p, file=where) for p in error.problems]) from None


def variables_of(document: Document | None) -> dict[str, str]:
    """Names and values of the environment variables that a file names and that are no secrets."""
    names = {m[1] for m in VARIABLE.finditer(document.text) if m[1]} if document else set()
    held = {name: os.environ[name] for name in sorted(names & os.environ.keys())}
    secret = document.secrets.marked if document else frozenset()
    return {
        name: value
        for name, value in held.items()
        if name not in secret and not is_secret(name, value) and redact(value) == value
    }


def own_stages(file: Path, sets: dict[str, str], variables: Mapping[str, str]) -> list[str]:
    """Stages of a pipeline file that are code of a module, as the file and its variables name
    them.
    """
    return named_in(read_document(file, sets, variables).data.get("stages"))


def named_in(stages: Any) -> list[str]:
    """The same of a list of stages, with those of its blocks."""
    found: list[str] = []
    for stage in stages if isinstance(stages, list) else []:
        if isinstance(stage, dict):
            name = stage.get("stage")
            found += [name] if isinstance(name, str) and ":" in name else []
            found += named_in(stage.get("stages"))
    return found
