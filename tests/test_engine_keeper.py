"""What an engine started does not outlive its worker (captioners/engine_keeper.py)."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pairmill.captioners.engine_keeper import marked

WORKER = """
import os, subprocess, sys, time
from pairmill.captioners.vllm_core import kept_mark, marked_children
own = [sys.executable, "-c", "import time; time.sleep(600)"]
with marked_children():
    subprocess.Popen(own, start_new_session=True)
other = subprocess.Popen(own, start_new_session=True)
print(kept_mark(os.getpid()), other.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="vLLM runs on Linux")
def test_no_process_of_an_engine_outlives_a_killed_worker() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    with worker.stdout as said:
        mark, other = said.readline().split()
    assert len(marked(mark)) == 1
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end = time.monotonic() + 60
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.1)
    assert not marked(mark)
    os.kill(int(other), signal.SIGKILL)  # what the worker started beside lives on until now
