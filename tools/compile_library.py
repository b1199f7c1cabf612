"""Compiles what pairmill has in C, beside its source: `python tools/compile_library.py`.

Installation does so where there is a compiler (tools/build_hook.py).  Without one nothing is
missing: the same is computed by Python, for several times the CPU.  Needs nothing but the standard
library.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ("pairmill/images/resize.c", "pairmill/schemas/hash_rows.c")
FLAGS = ["-O3", "-shared", "-fPIC", "-Wno-psabi"]
"""None of them asks what this machine's processor can do: that is looked up when the code runs."""


def compiler() -> list[str] | None:
    """The command of a C compiler: `CC`, or the first that is there."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def digest(source: Path) -> str:
    """Stands for a source and what it includes: headers beside it, whose names begin as its own
    does.
    """
    read = [source, *sorted(source.parent.glob(f"{source.stem}_*.h"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in read)).hexdigest()[:8]


def compile_library(source: Path, folder: Path) -> Path | str:
    """The library of a source in a folder, named by the source's digest; else why there is none."""
    told = digest(source)
    target = folder / f"{source.stem}-{told}.so"
    command = compiler()
    if command is None:
        return "no C compiler"
    made = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        ended = subprocess.run(
            [*command, *FLAGS, "-o", str(made), str(source)], capture_output=True, text=True
        )
    except OSError as error:
        return str(error)
    if ended.returncode:
        made.unlink(missing_ok=True)
        return ended.stderr.strip() or f"{command[0]} ended with {ended.returncode}"
    for older in folder.glob(f"{source.stem}-*.so"):
        older.unlink()
    made.replace(target)
    return target


def compile_all(root: Path = ROOT) -> list[Path | str]:
    """Every library, beside its source."""
    return [compile_library(root / name, (root / name).parent) for name in SOURCES]


if __name__ == "__main__":
    outcomes = compile_all()
    print(*outcomes, sep="\n")
    sys.exit(any(isinstance(outcome, str) for outcome in outcomes))
