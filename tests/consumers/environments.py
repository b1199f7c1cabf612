"""Environments of programs that read packages and cannot be installed beside pairmill: each gets
what clashes, and takes everything else (torch, pyarrow) from pairmill's own.

`python tests/consumers/environments.py` makes them, in the folder `consumers` of the environment
that runs it.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

PINS: dict[str, tuple[str, ...]] = {
    "open_clip": ("open_clip_torch==3.3.0", "webdataset==0.2.86", "torchvision==0.28.0"),
    "energon": ("megatron-energon==7.4.1", "webdataset==1.0.2"),
    "streaming": ("mosaicml-streaming==0.13.0", "torchvision==0.28.0"),
    "trl": ("trl==1.16.0",),
}
"""Environment → exact versions.  open_clip wants webdataset 0.2, mosaicml-streaming NumPy before 2.2
and transformers before 5.
"""
FOLDER = Path(sys.prefix) / "consumers"


def python_of(name: str) -> Path:
    return FOLDER / name / "bin/python"


def is_made(name: str) -> bool:
    """Whether an environment with these very versions is there."""
    mark = FOLDER / name / "made.txt"
    return mark.exists() and mark.read_text() == "\n".join(PINS[name])


def make(name: str) -> None:
    place = FOLDER / name
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    python = python_of(name)
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    Path(packages, "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    import torch

    limits = place / "limits.txt"
    limits.write_text(f"torch=={torch.__version__.partition('+')[0]}\n")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", limits]
    subprocess.run([*install, *PINS[name]], check=True)
    (place / "made.txt").write_text("\n".join(PINS[name]))


if __name__ == "__main__":
    for environment in PINS:
        if not is_made(environment):
            print(f"making the environment of {environment}")
            make(environment)
