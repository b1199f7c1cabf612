"""A run of `caption` with `engine: vllm`, in an environment that holds vLLM and pairmill:
`gpu_vllm_worker.py PIPELINE.yaml ROWS`; prints a line of JSON.
"""

import json
import sys
from pathlib import Path

from gpu_parts import measured

if __name__ == "__main__":
    print("FOUND " + json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]))), flush=True)
