"""Keeps a server as long as the worker that wants it lives; run as a program of its own, with the
standard library alone: `server_keeper.py LOG COMMAND`, COMMAND a JSON list.

The server ends, with all that it started, when this program's standard input ends: when the worker
closes it, and whatever else ends the worker, `kill -9` included.  Linux ends the server even where
this program itself is killed.  It leaves the worker's children, since Ray kills these first when a
worker ends; what it has to say it prints: its process number, and at the end the server's exit
code, 128 and the signal's number where one ended it.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 5.0
"""Seconds that a server has for ending by itself."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def control(option: int, value: int) -> None:
    """Linux's `prctl`; nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """In the server, before it starts."""
    control(PR_SET_PDEATHSIG, signal.SIGKILL)


def children() -> list[int]:
    """Processes that this program has to see to: its own, and orphans of the server's."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as stream:
                found += map(int, stream.read().split())
    return found


def end_all(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Ends the server's group, kindly first, and then what is left of it."""
    for sent, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, GRACE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    with contextlib.suppress(ProcessLookupError):  # what outlived the group's leader
        os.killpg(process.pid, signal.SIGKILL)
    while left := [child for child in children() if child != process.pid]:
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def main() -> None:
    """Keeps the server until it ends, or has to."""
    if os.fork():
        os._exit(0)
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    log, command = sys.argv[1], json.loads(sys.argv[2])
    control(PR_SET_CHILD_SUBREAPER, 1)
    with open(log, "ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    unwanted = threading.Event()

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        unwanted.set()

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: unwanted.set())
    while not unwanted.is_set() and process.poll() is None:
        time.sleep(0.1)
    end_all(process, GRACE_S if process.poll() is None else 0.0)
    code = process.returncode
    sys.stdout.write(f"{128 - code if code < 0 else code}\n")


if __name__ == "__main__":
    main()
