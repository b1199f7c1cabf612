"""Ends what an engine leaves running where its worker dies; run as a program of its own, with the
standard library alone: `engine_keeper.py MARK`.

vLLM's engine has processes of its own, which wait for ever, and hold a GPU's memory, where the
worker that started them is killed.  All of them have the worker's environment, so the worker puts
a MARK into it.  When this program's standard input ends, which only the worker holds open, every
process whose environment has the mark is killed.  It leaves the worker's children, since Ray kills
these first when a worker ends.  Linux alone: elsewhere vLLM does not run.
"""

import contextlib
import os
import signal
import sys
import time

VARIABLE = "PAIRMILL_ENGINE"
ROUNDS, PAUSE_S = 5, 0.5
"""Looks at what runs: a process may be starting another one while it is killed."""


def marked(mark: str) -> list[int]:
    """Processes with the mark, but for this one."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as stream:
                if wanted in stream.read().split(b"\0"):
                    found.append(int(name))
    return found


def main() -> None:
    """Waits for the worker's end, and sees to what it has left."""
    if os.fork():
        os._exit(0)
    os.setsid()
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    for _ in range(ROUNDS):
        for pid in marked(sys.argv[1]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
