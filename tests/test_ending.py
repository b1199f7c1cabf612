"""How a command ends its process: at once, and with all that Python does at an end but taking apart
what the system takes back.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
BEGIN = "import atexit, sys, threading, time; from pairmill.console import leave\n"


def ended(code: str) -> subprocess.CompletedProcess[str]:
    """A process that runs some code."""
    return subprocess.run([sys.executable, "-c", BEGIN + code], text=True, capture_output=True)


def test_ending_what_was_to_be_done_at_the_end_is_done() -> None:
    done = ended(
        "atexit.register(lambda: sys.stdout.write('second'))\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), sys.stdout.write('first, '))).start()\n"
        "leave(3)\n"
    )
    assert (done.returncode, done.stdout) == (3, "first, second")


def test_ending_nothing_is_taken_apart() -> None:
    code = "class Part:\n    def __del__(self): print('taken apart')\npart = Part()\n"
    assert ended(code + "leave(None)").stdout == ""
    assert ended(code).stdout == "taken apart\n"


def test_ending_a_message_and_a_lost_output_are_left_to_python() -> None:
    assert ended("leave('no'); sys.exit('told')").stderr == "told\n"
    with open("/dev/full", "w") as full:
        lost = [sys.executable, "-c", f"{BEGIN}sys.stdout.write('x')\nleave(0)\n"]
        done = subprocess.run(lost, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "No space left" in done.stderr


def test_ending_the_command_gives_its_code() -> None:
    for words, code in ((["--version"], 0), (["run", "not-there.yaml"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "pairmill", *words], capture_output=True, text=True
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr
