"""A first run over much input begins with what worker processes are forked of: that imports on
another core while this process imports what it needs itself, which takes it half a second.
"""

import glob
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pairmill.errors import PairmillError
from pairmill.pipeline.whereabouts import is_ray_there, wanted_processes
from pairmill.plan.yaml_file import read_document
from pairmill.work.crew_size import cores
from pairmill.work.starting import starts_early

PACKED = (".parquet", ".gz", ".zst", ".bz2", ".xz")
WORTH_BYTES = {True: 4 * 2**20, False: 32 * 2**20}
"""Input, packed or not, that several processes read: a guess, the files say it later
(workspace/reading_groups.py).
"""
MOST_FILES = 1_000
"""Files that are looked at for a guess."""
WORKSPACE = re.compile(r"^workspace:[ \t]*(\S+)", re.MULTILINE)


def begin_early(
    file: Path,
    sets: Mapping[str, str],
    base: Path | None,
    processes: int | None,
    elsewhere: bool,
    local: bool,
) -> None:
    """Begins where worker processes will most likely read the source: there is much of it, and the
    workspace has no table yet.  A wrong guess costs half a second of a core, and says nothing.
    """
    try:
        count = wanted_processes() if processes is None else processes
        count = cores() if count is None else min(count, cores())
        if count < 2 or elsewhere or (is_ray_there() and not local):
            return
        folder = str(base or file.absolute().parent)
        if "workspace" not in sets and was_run(file.read_text(encoding="utf-8"), folder):
            return
        data = read_document(file, sets).data
        if is_first_over_much(data, folder):
            starts_early(list(filter(None, sys.path)))
    except (PairmillError, OSError, ValueError):
        return  # the run itself finds that out, and says it


def was_run(text: str, base: str) -> bool:
    """Whether the workspace that stands in a pipeline's text has a table: to read all of the YAML
    for that takes longer than many a rerun's other parts.
    """
    named = WORKSPACE.search(text)
    workspace = named[1].strip("'\"") if named else "workspace"
    return os.path.isdir(os.path.join(base, workspace, "tables"))


def is_first_over_much(data: Mapping[str, Any], base: str) -> bool:
    """Whether a pipeline's workspace has no table, and its source is much."""
    workspace = data.get("workspace", "workspace")
    if not isinstance(workspace, str) or "://" in workspace:
        return False
    if os.path.isdir(os.path.join(base, workspace, "tables")):
        return False
    done = 0.0
    for path in itertools.islice(files_of(data.get("source"), base), MOST_FILES):
        done += os.path.getsize(path) / WORTH_BYTES[path.endswith(PACKED)]
        if done >= 1:
            return True
    return False


def files_of(source: Any, base: str) -> Iterator[str]:
    """The files that a source names, or several; those of folders, too."""
    if not isinstance(source, Mapping):
        return
    if "type" not in source:
        for one in source.values():
            yield from files_of(one, base)
        return
    named = source.get("path")
    for path in named if isinstance(named, list) else [named]:
        if not isinstance(path, str) or "://" in path:
            continue
        for name in glob.iglob(os.path.join(base, path), recursive=True):
            found = glob.iglob(f"{glob.escape(name)}/*") if os.path.isdir(name) else (name,)
            yield from filter(os.path.isfile, found)
