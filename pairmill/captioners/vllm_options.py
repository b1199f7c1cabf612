"""What vLLM's engine in the worker is started and asked with, out of a stage's keys."""

import dataclasses
import os
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.load import Spec

OF_A_GPU = 0.9
"""Share of a GPU's memory that vLLM takes by itself."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of LoRA adapters that vLLM makes room for."""
COMPACT = {"backend": "xgrammar", "disable_any_whitespace": True}
"""JSON without blanks between its marks: where it may, a model that is unsure of the next mark
writes blanks up to the token limit.
"""
RENDERERS = 4
"""Threads that make pictures ready, at most; vLLM's own default is one."""
VARIABLES = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # the worker has threads, which do not survive a fork
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""Of vLLM's processes, where the user has not set them otherwise."""


def check_installed() -> None:
    """Raises MissingPackage where this environment has no vLLM."""
    if find_spec("vllm") is None:
        raise MissingPackage("vllm", "engine: vllm", "vllm")


def engine_arguments(
    spec: Spec, given: dict[str, Any], images: int, sees: bool, gpus: float
) -> dict[str, Any]:
    """vLLM's engine arguments by name; `given`, the user's own, before those that follow from the
    stage's keys.
    """
    found: dict[str, Any] = {
        "model": checkpoint_folder(spec.model, spec.revision, code=spec.trust_remote_code),
        "dtype": spec.dtype,
        "trust_remote_code": spec.trust_remote_code,
        "generation_config": "vllm",  # nothing of the checkpoint's own decides values
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "structured_outputs_config": COMPACT,
    }
    if sees:
        found["limit_mm_per_prompt"] = {"image": max(1, images)}
        found["mm_processor_cache_gb"] = 0  # each picture is seen once
        found["renderer_num_workers"] = max(1, min(RENDERERS, int(spec.cpus)))
    if gpus > 1:
        found["tensor_parallel_size"] = int(gpus)
        found["distributed_executor_backend"] = "mp"
    elif 0 < gpus < 1:
        found["gpu_memory_utilization"] = OF_A_GPU * gpus
    if spec.adapter:
        rank = int(read_json(adapter_folder(spec), "adapter_config.json").get("r") or RANKS[0])
        room = next((r for r in RANKS if r >= rank), RANKS[-1])
        found |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    return {**found, **given}


def adapter_folder(spec: Spec) -> str:
    """The files of the adapter, on this node."""
    assert spec.adapter is not None
    return checkpoint_folder(spec.adapter, spec.adapter_revision, adapter=True)


def started(stage: str, model: str, arguments: dict[str, Any], given: dict[str, Any]) -> Any:
    """An engine of vLLM, in the running event loop; raises StageBroken where it does not start.

    `given`: those of the arguments that the user wrote; of ours, those that the installed version
    does not know are left out.
    """
    check_installed()
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    import vllm
    from vllm.v1.engine.async_llm import AsyncLLM

    start = f"stage {stage!r}: vLLM {vllm.__version__}"
    known = {f.name for f in dataclasses.fields(vllm.AsyncEngineArgs)}
    for name in given:
        if name not in known:
            like = get_close_matches(name, known, 1)
            meant = f"; did you mean {like[0]!r}?" if like else ""
            raise StageBroken(f"{start} has no engine argument {name!r}{meant}")
    try:
        fitting = {name: value for name, value in arguments.items() if name in known}
        return AsyncLLM.from_engine_args(vllm.AsyncEngineArgs(**fitting))
    except Exception as error:  # it raises many kinds
        raise StageBroken(
            f"{start} does not start with {model!r}: {first_line(error)} (what it printed is in "
            "the run's output.log)"
        ) from error


def sampling_maker(stage: str, common: dict[str, Any], further: dict[str, Any]) -> Any:
    """(seed, JSON schema) → vLLM's SamplingParams; raises StageBroken for keys of `extra_body`
    that it does not know, or that the stage says itself.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    fixed = {**common, "detokenize": False, "output_kind": RequestOutputKind.FINAL_ONLY}
    if wrong := sorted({*fixed, "seed", "structured_outputs"} & {*further}):
        raise StageBroken(
            f"stage {stage!r}: extra_body: {', '.join(wrong)}: said by the stage's other keys"
        )

    def make(seed: int | None, schema: dict[str, Any] | None) -> Any:
        bound = {} if schema is None else {"structured_outputs": StructuredOutputsParams(schema)}
        return SamplingParams(**fixed, **further, **bound, seed=seed)

    try:
        make(None, None)
    except (TypeError, ValueError) as error:
        raise StageBroken(f"stage {stage!r}: extra_body: {first_line(error)}") from None
    return make
