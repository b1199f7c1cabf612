"""What a GPU does under pairmill, beside what it does alone.

    python benchmarks/gpu.py [--out FOLDER] [--parts ceiling,clip,caption,...] [--seconds 500]

Real architectures at real sizes with random weights, saved to a temporary folder and loaded as any
checkpoint: CLIP B/32 and L/14 from encoded 256 px JPEGs to stored score, a Qwen2.5-VL of 3 billion
parameters from encoded JPEGs to stored captions.  Beside them: the card's bf16 matrix ceiling, the
model alone on data that is there already, the same on the CPU, decoding alone, how busy the GPU
was; and whether what a full memory does is true: halved batches, tensors on CPU and GPU,
quantised weights.  `--tiny` is the same with tiny models on whatever there is.
"""

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_captions
import gpu_clip
import gpu_memory
import gpu_parts
import gpu_vllm
import torch
from measuring import machine

PARTS: dict[str, Callable[[gpu_parts.Bench], Any]] = {
    "ceiling": gpu_parts.ceiling,
    "decoding": gpu_parts.decoding,
    "alone": gpu_clip.alone,
    "clip": gpu_clip.clip,
    "runs": gpu_parts.runs,
    "tuned": gpu_clip.tuned,
    "caption": gpu_captions.caption,
    "caption_run": gpu_captions.caption_run,
    "values": gpu_memory.values,
    "full": gpu_memory.full,
    "placed": gpu_memory.placed,
    "quantised": gpu_memory.quantised,
    "cpu": gpu_clip.cpu,
    "vllm_offline": gpu_vllm.offline,
    "vllm_in_the_worker": gpu_vllm.in_the_worker,
    "vllm_served": gpu_vllm.served,
    "vllm_served_by_many": gpu_vllm.served_by_many,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=500, help="begin no part after so many")
    parser.add_argument("--scratch", type=Path, help="keeps models there, for another call")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    found: dict[str, Any] = {"card": card, "machine": machine(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = options.scratch or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        bench = gpu_parts.Bench(scratch, options.tiny)
        for name in options.parts.split(","):
            start = time.monotonic()
            if start - began > options.seconds:
                found[name] = "no time left"
                continue
            found[name] = attempted(PARTS[name], bench)
            took = round(time.monotonic() - start, 1)
            print(f"== {name} ({took} s): {json.dumps(found[name])}", flush=True)
            (options.out / f"gpu-{options.parts.replace(chr(44), chr(95))[:60]}.json").write_text(
                json.dumps(found, indent=1)
            )
    os._exit(0)  # threads of a part that failed may still work


def attempted(part: Callable[[Any], Any], bench: Any) -> Any:
    """A part's figures; a part that fails does not take the others' with it."""
    try:
        return part(bench)
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
