"""What travels with a job: the pipeline file, and the code and files beside it that it names."""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pairmill.schemas.config import FILE, MODEL, marks_of
from pairmill.schemas.pipeline import PipelineConfig

FILE_NAME = "pipeline.yaml"


@contextmanager
def packed(file: Path, working_dir: Path | None, config: PipelineConfig) -> Iterator[Path]:
    """A folder with the pipeline file and the code and files that it names; data stay where they
    are.
    """
    home = file.absolute().parent
    with tempfile.TemporaryDirectory(prefix="pairmill-job-") as name:
        target = Path(name)
        if working_dir:
            shutil.copytree(working_dir, target, dirs_exist_ok=True)
        shutil.copyfile(file, target / FILE_NAME)
        for stage in config.every_stage():
            if ":" in stage.stage:
                pack_module(stage.stage.partition(":")[0].partition(".")[0], home, target)
            for named in named_files(stage):
                pack_file(Path(named), home, target)
        yield target


def named_files(config: Any) -> list[str]:
    """Local files whose content decides values (prompts, blocklists), and small local models."""
    files = []
    for field in type(config).model_fields:
        value = getattr(config, field)
        if (
            isinstance(value, str)
            and "://" not in value
            and marks_of(type(config), field) & {FILE, MODEL}
            and Path(value).is_absolute()
        ):
            files.append(value)
    return files


def pack_file(source: Path, home: Path, target: Path) -> None:
    """What lies below the pipeline file travels with it; other absolute paths must exist on the
    nodes.
    """
    if not source.is_relative_to(home):
        return
    place = target / source.relative_to(home)
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, place)


def pack_module(module: str, home: Path, target: Path) -> None:
    """A module or package that lies beside the pipeline file; installed ones must be installed on
    the nodes.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not Path(found.origin).is_relative_to(home):
        return
    origin = Path(found.origin)
    if origin.name == "__init__.py":
        shutil.copytree(
            origin.parent,
            target / module,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    else:
        shutil.copyfile(origin, target / origin.name)
