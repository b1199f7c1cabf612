"""Calls and processes that outlive what they wait for are ended."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from pairmill.api import Pipeline
from pairmill.errors import StageHung
from pairmill.filters.gate import FilterConfig
from pairmill.work.claims import SETUP, WorkPlace
from pairmill.work.deadline import Limited, ThreadWatchdog
from pairmill.work.line import Line
from pairmill.workspace.lease import born
from tests.clusters import wait_for
from tests.test_hanging import FILE, Write


@pytest.mark.slow
def test_without_ray_a_stage_that_hangs_stops_the_run_with_its_name(
    numbers: Path, write: Write
) -> None:
    """In a script that a shell started in the background, too, where SIGINT is ignored."""
    file = write(FILE + "    hang: [25]\n    deadline_s: 2\n")
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(StageHung, match=r"a batch of 4 rows, \d+ to \d+, of shard 1"):
            Pipeline.from_yaml(file).run(progress=False, local=True)
    finally:
        signal.signal(signal.SIGINT, usual)


@pytest.mark.slow
def test_native_code_that_keeps_the_interpreters_lock_ends_its_worker() -> None:
    """`ctypes.PyDLL` calls C without giving the lock away, so that no Python thread can look at the
    clock.
    """
    code = """
import ctypes
from pairmill.work import deadline
deadline.BACKSTOP_S = 1
call = deadline.Limited(None, None, None, None, 1)
deadline.ProcessWatchdog().run(lambda: ctypes.PyDLL(None).sleep(60), call)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Timeout" in done.stderr


@pytest.mark.slow
def test_worker_whose_node_is_gone_ends_though_a_thread_of_its_own_waits() -> None:
    """Found after a killed driver: a thread that asked Ray for shares of hosts kept a worker busy
    for ever.
    """
    child = """
import os, threading, time
from pairmill.work import deadline
deadline.LOOK_S = deadline.GRACE_S = 0.1
deadline.end_with_parent()
threading.Thread(target=time.sleep, args=(600,)).start()
print(os.getpid(), flush=True)
"""
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    started = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    worker = int(started.stdout.readline())
    started.kill()
    started.wait()
    assert wait_for(lambda: born(worker) is None)
    started.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc to hang at the end")
def test_worker_that_hangs_at_its_very_end_ends_all_the_same() -> None:
    """As one of Ray's did: Python was over, and the library waited for a lock of its own."""
    code = """
import ctypes
from pairmill.cluster.worker_start import end_within
end_within(1)
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.pause, None, None)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    assert process.wait() == -signal.SIGALRM


def test_calls_that_do_not_overlap_run_in_one_thread_which_ends() -> None:
    """What a stage's `setup` makes may be bound to its thread, as a connection to SQLite is."""
    watchdog = ThreadWatchdog()
    call = Limited(Line(), None, WorkPlace("s"), SETUP, 60)  # type: ignore[arg-type]
    threads = [watchdog.run(threading.current_thread, call) for _ in range(3)]
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        watchdog.run(lambda: 1 // 0, call)
    watchdog.close()
    threads[0].join()


@pytest.mark.parametrize("key", ["deadline_s", "setup_deadline_s"])
@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e12, 0])
def test_a_deadline_that_no_clock_can_wait_for_is_refused(key: str, seconds: float) -> None:
    with pytest.raises(ValidationError, match=key):
        FilterConfig(keep="true", **{key: seconds})
    assert FilterConfig(keep="true", **{key: None}).model_dump()[key] is None
