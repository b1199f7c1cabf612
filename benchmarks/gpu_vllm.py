"""The parts of benchmarks/gpu.py that need vLLM: its own offline throughput, and `caption` with
`serve` and with `engine: vllm`, at the same lengths and with the same options.

vLLM is in an environment of its own: `VLLM_PYTHON` names its Python (this one, if absent), and
`VLLM_PATH` what that needs on its path.  For `engine: vllm` it holds pairmill, too.
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpu_captions import NEW_TOKENS, PROMPT
from gpu_parts import Bench, pipeline, written

OPTIONS: dict[str, Any] = {
    "max_model_len": 2048,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 8192,
    "limit_mm_per_prompt": {"image": {"count": 1, "width": 256, "height": 256}, "video": 0},
    "enable_prefix_caching": False,
    "gpu_memory_utilization": 0.85,
    "load_format": "dummy",
    "renderer_num_workers": 4,
    "compilation_config": {
        "mode": 0,
        "cudagraph_mode": "FULL_DECODE_ONLY",
        "cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256],
    },
}
"""Graphs of whole steps, but nothing compiled, and weights by chance: both start sooner."""
ALONE: dict[str, Any] = {
    "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo", "VLLM_CACHE_ROOT": "/tmp/vllm-cache",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}  # fmt: skip
"""For a machine without a network."""
START_S = 240


def environment() -> dict[str, str]:
    """Variables of vLLM's processes, beside those that are there."""
    path = os.environ.get("VLLM_PATH")
    return {**ALONE, **({"PYTHONPATH": path} if path else {})}


def python() -> str:
    return os.environ.get("VLLM_PYTHON") or sys.executable


def offline(bench: Bench) -> dict[str, Any]:
    """vLLM's `LLM.generate` over a batch of pictures."""
    place = Path(bench.scratch)
    (place / "pictures").write_bytes(pickle.dumps(bench.images(bench.few(2048))))
    given = {
        "model": bench.qwen(),
        "prompt": PROMPT,
        "tokens": NEW_TOKENS,
        "images": str(place / "pictures"),
        "engine": {**OPTIONS, "mm_processor_cache_gb": 0, "dtype": "auto", "seed": 0},
    }
    (place / "offline.json").write_text(json.dumps(given))
    return found_by("gpu_vllm_offline.py", [place / "offline.json"], place / "offline.log")


def found_by(script: str, arguments: list[Any], log: Path) -> dict[str, Any]:
    """What a script beside this one finds, in vLLM's environment."""
    with log.open("wb") as stream:
        done = subprocess.run(
            [python(), Path(__file__).with_name(script), *map(str, arguments)],
            stdout=stream, stderr=stream, timeout=START_S, env={**os.environ, **environment()},
        )  # fmt: skip
    said = log.read_text(errors="replace").splitlines()
    found = [line.removeprefix("FOUND ") for line in said if line.startswith("FOUND ")]
    if not found:
        return {"failed": done.returncode, "log": said[-40:]}
    return dict(json.loads(found[0]))


def in_the_worker(bench: Bench) -> dict[str, Any]:
    """A whole run of `caption` with vLLM's engine in the worker."""
    keys = {
        "stage": "caption", "engine": "vllm", "model": bench.qwen(), "prompt": PROMPT,
        "max_new_tokens": NEW_TOKENS, "concurrency": 512, "extra_body": {"ignore_eos": True},
        "engine_arguments": OPTIONS, "resources": {"cpus": 8},
    }  # fmt: skip
    count = bench.few(6_144)
    file = written(bench, f"  - {json.dumps(keys)}\n", count, "vllm-worker")
    found = found_by("gpu_vllm_worker.py", [file, count], file.with_name("run.log"))
    if "seconds" in found:
        found["tokens/s, without the engine's start"] = answered_per_s(found, count)
    return found


def answered_per_s(found: dict[str, Any], count: int) -> int:
    """Tokens a second of a run, but for the time that starting took."""
    spent = found["seconds"].get("phase 1", found["wall s"]) - found["setup s"].get("caption", 0)
    return round(count * NEW_TOKENS / spent)


def words() -> list[str]:
    """The options as the server's command line has them."""
    told: list[str] = []
    for name, value in OPTIONS.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            told.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            told += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return told


def served(bench: Bench, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """A whole run of `caption` by a server that pairmill starts."""
    keys = {
        "stage": "caption", "engine": "openai", "model": bench.qwen(), "prompt": PROMPT,
        "max_new_tokens": NEW_TOKENS, "concurrency": 256, "extra_body": {"ignore_eos": True},
        "serve": {"python": python(), "environment": environment()},
        "serve_arguments": [*words(), *more], "resources": {"cpus": 8},
    }  # fmt: skip
    count = bench.few(6_144)
    label = f"vllm{len(more)}"
    found = pipeline(bench, f"  - {json.dumps(keys)}\n", count, label)
    log = [line for file in (bench.scratch / f"run-{label}").rglob("servers/*.log")
           for line in file.read_text(errors="replace").splitlines()]  # fmt: skip
    found["tokens/s, without the server's start"] = answered_per_s(found, count)
    found["server"] = [line[-160:] for line in log if "throughput" in line][-8:] or log[-30:]
    return found


def served_by_many(bench: Bench) -> dict[str, Any]:
    """The same with four processes that take requests and prepare pictures."""
    return served(bench, ("--api-server-count", "4"))
