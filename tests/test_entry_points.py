"""pairmill called from Python in ways that a script or a notebook may."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pairmill import Pipeline
from pairmill.safe_output import SafeConsole

SLOW = """
name: slow
source: {type: parquet, path: numbers.parquet}
stages: [{stage: tests.stages_for_tests:DeadlyStage}]
outputs: []
"""
FORKS = """
import os, sys
from pairmill import Pipeline
def run(): return Pipeline.from_yaml(sys.argv[1]).run(local=True, progress=False, processes=0)
run()
child = os.fork()
if child == 0:
    try: run()
    except Exception as error: print(type(error).__name__, error, flush=True)
    finally: os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
run()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is forked there")
def test_a_run_in_a_fork_of_a_process_that_ran_one_is_refused_not_waited_for(
    write: Callable[..., Path], numbers: Path
) -> None:
    command = [sys.executable, "-c", FORKS, str(write(SLOW))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[0].startswith("RunError this process was forked from process")
    assert (done.stdout.splitlines()[1:], done.stderr, done.returncode) == (["7"], "", 0)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 2], ids=["here", "processes"])
def test_a_stage_that_takes_long_to_set_up_is_shown_meanwhile(
    write: Callable[..., Path], numbers: Path, processes: int
) -> None:
    console = SafeConsole(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    file = write(SLOW.replace("DeadlyStage}", "DeadlyStage, setup_s: 8}"))
    how = {"local": True, "processes": processes, "write_report": False}
    assert Pipeline.from_yaml(file).run(console=console, **how).warnings == ()
    assert "deadly: setting up (" in console.file.getvalue()
