"""A process that came to no end is ended, and what it did can be read."""

import subprocess
import sys
from pathlib import Path

from tests.clusters import wait_for
from tests.hung_process import ended

HUNG = """
import signal, time
def asked(number, frame):
    print("asked to end", flush=True)
signal.signal(signal.SIGTERM, asked)
print("began", flush=True)
time.sleep(1000)
"""


def test_hung_process_is_ended_with_its_stacks_and_what_it_printed(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", HUNG], stdout=out)
    assert wait_for(lambda: b"began" in printed.read_bytes(), pause=0.02)
    said = ended(process, printed, end_s=5)
    assert process.poll() is not None
    stacks, _, tail = said.partition("printed:\n")
    assert "<module>" in stacks or "py-spy is not installed" in stacks
    assert tail.splitlines() == ["began", "asked to end"]
