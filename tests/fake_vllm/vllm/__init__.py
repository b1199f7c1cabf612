"""The part of vLLM's interface that pairmill asks, answered by `transformers` on the CPU: prompts
are tokens with one for each picture, and pictures.  `POISON` in a prompt ends the engine.
"""

from dataclasses import dataclass, field
from typing import Any

from vllm.sampling_params import SamplingParams

__version__ = "0.32.0"
__all__ = ["AsyncEngineArgs", "SamplingParams"]


@dataclass
class AsyncEngineArgs:
    model: str
    dtype: str = "auto"
    trust_remote_code: bool = False
    generation_config: str = "auto"
    max_model_len: int | None = None
    limit_mm_per_prompt: dict[str, int] = field(default_factory=dict)
    structured_outputs_config: dict[str, Any] = field(default_factory=dict)
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    tensor_parallel_size: int = 1
    distributed_executor_backend: Any = None
    gpu_memory_utilization: float = 0.9
