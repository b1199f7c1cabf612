"""transformers is whole for every thread, though several ask for it first at once."""

import subprocess
import sys

SCRIPT = """
import threading
from pairmill.models.library import transformers

gate, found = threading.Barrier(8), []

def asked():
    gate.wait()
    found.append(hasattr(transformers(), "AutoModelForCausalLM"))

threads = [threading.Thread(target=asked) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
assert found == [True] * 8, found
"""


def test_library_is_whole_for_all_threads_that_import_it_at_once() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
