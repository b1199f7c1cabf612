"""What a process that came to no end did: its threads' stacks, and the last lines it printed."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

END_S = 20
"""Time that it has to end by itself once it was asked to."""


def ended(process: subprocess.Popen[bytes], printed: Path, end_s: float = END_S) -> str:
    """Ends a process: stacks of its threads, if py-spy is installed, and the tail of what it
    printed, with what it says when it is asked to end.
    """
    stacks = stacks_of(process.pid)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(end_s)
    process.kill()
    process.wait()
    tail = printed.read_text(errors="replace").splitlines()[-40:]
    return "\n".join(["stacks:", stacks, "printed:", *tail])


def stacks_of(pid: int) -> str:
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if not (spy := shutil.which("py-spy", path=beside)):
        return "py-spy is not installed"
    try:
        dump = subprocess.run(
            [spy, "dump", "--pid", str(pid)], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return "py-spy gave no answer within 60 s"
    return dump.stdout or dump.stderr
