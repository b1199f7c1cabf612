"""transformers is whole for every thread, though others are still importing it."""

import subprocess
import sys

import pytest

SCRIPT = """
import threading, time
import pairmill.models.library

def asked(after_s, found):
    time.sleep(after_s)
    import transformers as plain
    found["plain"] = hasattr(plain, "AutoModelForCausalLM")

def ours(after_s, found):
    time.sleep(after_s)
    found["ours"] = hasattr(pairmill.models.library.transformers(), "AutoModelForCausalLM")

answers = [{} for _ in range(20)]
threads = [
    threading.Thread(target=ask, args=(number / 100, found))
    for number, found in enumerate(answers)
    for ask in (asked, ours)
]
[t.start() for t in threads]
[t.join() for t in threads]
print(sum(not a["plain"] for a in answers), sum(not a["ours"] for a in answers))
"""


@pytest.mark.slow
def test_library_is_whole_for_threads_that_ask_while_another_one_imports_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True
    )
    misled, ours = map(int, done.stdout.split())
    assert misled > 0  # else nothing is left to be cured of
    assert ours == 0
