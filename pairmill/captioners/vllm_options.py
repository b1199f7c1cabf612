"""What vLLM's engine in the worker is started and asked with, out of a stage's keys."""

import dataclasses
import os
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from pairmill.captioners.server import OF_A_GPU
from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.load import Spec

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of LoRA adapters that vLLM makes room for."""
COMPACT = {"backend": "xgrammar", "disable_any_whitespace": True}
"""JSON without blanks between its marks: where it may, a model that is unsure of the next mark
writes blanks up to the token limit.
"""
SPAWN = ("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
"""The worker has threads, which do not survive a fork; and what is forked holds the keeper's pipe
open.
"""
VARIABLES = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
"""Of vLLM's processes, where the user has not set them otherwise."""
NOT_OF_WORDS = ("vision", "visual", "image", "projector", "connector", "merger")
"""In names of an adapter's tensors: parts that vLLM's adapters leave as they are."""


def check_installed() -> None:
    """Raises MissingPackage where this environment has no vLLM."""
    if find_spec("vllm") is None:
        raise MissingPackage("vllm", "engine: vllm", "vllm")


def engine_arguments(spec: Spec, given: dict[str, Any], sees: bool, gpus: float) -> dict[str, Any]:
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
        found["limit_mm_per_prompt"] = {"video": 0, "audio": 0}
        found["mm_processor_cache_gb"] = 0  # each picture is seen once
    if gpus > 1:
        found["tensor_parallel_size"] = int(gpus)
        found["distributed_executor_backend"] = "mp"
    elif 0 < gpus < 1:
        found["gpu_memory_utilization"] = OF_A_GPU * gpus
    if spec.adapter:
        rank = int(read_json(adapter_folder(spec), "adapter_config.json").get("r") or RANKS[0])
        room = next((r for r in RANKS if r >= rank), RANKS[-1])
        found |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    bound = given.get("structured_outputs_config")
    if isinstance(bound, dict):
        given = {**given, "structured_outputs_config": {**COMPACT, **bound}}
    return {**found, **given}


def check_adapter(stage: str, spec: Spec) -> None:
    """Raises StageBroken for an adapter that vLLM would not take, or take in part alone."""
    folder = adapter_folder(spec)
    told = read_json(folder, "adapter_config.json")
    start = f"stage {stage!r}: the adapter {spec.adapter!r}"
    if not told:
        raise StageBroken(f"{start} has no adapter_config.json")
    if (kind := told.get("peft_type")) != "LORA":
        raise StageBroken(f"{start} is of the kind {kind}; a LoRA adapter is wanted")
    more = [name for name in ("use_dora", "modules_to_save", "rank_pattern") if told.get(name)]
    if more:
        raise StageBroken(f"{start} has {more[0]}, which vLLM does not take; {INSTEAD}")
    names = tensor_names(folder)
    beside = next((n for n in names if any(part in n for part in NOT_OF_WORDS)), None)
    if beside is not None:
        raise StageBroken(
            f"{start} changes {beside!r}, and vLLM adapts language models alone; {INSTEAD}"
        )


INSTEAD = "merge it into the model (peft's merge_and_unload), or take `engine: transformers`"


def tensor_names(folder: str) -> list[str]:
    """Names of an adapter's tensors, where they are safetensors."""
    from safetensors import safe_open

    file = f"{folder}/adapter_model.safetensors"
    if not os.path.exists(file):
        return []
    with safe_open(file, "np") as tensors:
        return list(tensors.keys())


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
    os.environ.update([SPAWN])
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
