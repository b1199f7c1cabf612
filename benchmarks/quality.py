"""Every stage's quality against the demo world's truth.

    python benchmarks/quality.py [--rows 3000] [--seed 1]

Seed 1 is another world than the demo's; the models were trained on neither.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from pairmill.demo.show import run_demo

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run_demo(Path(folder), args.rows, Console(width=110), Console(stderr=True), args.seed)
