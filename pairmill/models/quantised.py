"""Quantised checkpoints: what they need here, told before anything is computed."""

import re
from typing import TYPE_CHECKING, Any

from pairmill.errors import StageBroken
from pairmill.models.files import quantisation
from pairmill.models.needs import needs

if TYPE_CHECKING:
    from pairmill.models.load import Spec

QUANTISERS: dict[str, tuple[str, ...]] = {
    "awq": ("gptqmodel", "accelerate"),
    "gptq": ("gptqmodel", "optimum"),
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "compressed-tensors": ("compressed_tensors",),
    "fp8": ("accelerate",),
    "mxfp8": ("accelerate",),
    "mxfp4": ("accelerate",),
    "fbgemm_fp8": ("accelerate",),
    "bitnet": ("accelerate",),
    "torchao": ("torchao",),
    "hqq": ("hqq",),
    "quanto": ("optimum.quanto", "accelerate"),
    "eetq": ("kernels", "accelerate"),
    "nvfp4": ("kernels",),
    "aqlm": ("aqlm", "accelerate"),
    "vptq": ("vptq", "accelerate"),
    "spqr": ("spqr_quant", "accelerate"),
    "higgs": ("flute", "accelerate"),
    "auto-round": ("auto_round",),
    "quark": ("quark",),
    "fp_quant": ("fp_quant",),
    "fouroversix": ("fouroversix",),
    "sinq": ("sinq",),
}
"""Packages with which transformers loads weights that are quantised by a method."""
BY_NAMES = ("fp8", "compressed-tensors", "torchao")
"""Methods whose weights are looked at before any is read: their holes are known by names."""
ON_A_GPU = ("eetq", "nvfp4", "vptq", "spqr", "higgs", "fbgemm_fp8", "fp_quant", "sinq")
"""Methods whose kernels run on a GPU alone."""


def check_quantised(stage: str, spec: "Spec", config: dict[str, Any]) -> None:
    """Raises StageBroken for quantised weights that do not load here."""
    method = quantisation(config)
    if method is None:
        return
    what = f"a checkpoint quantised by {method}"
    if method not in QUANTISERS:
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} is {what}, which transformers does not load; "
            "ask a server that does (`serve: vllm`, or `engine: openai`), or take the checkpoint "
            "that was not quantised"
        )
    if spec.adapter and method == "compressed-tensors":
        raise StageBroken(
            f"stage {stage!r}: `peft` puts no adapter on {what}; name the checkpoint that was not "
            "quantised in `model`"
        )
    for package in QUANTISERS[method]:
        needs(stage, package, what)
    if method in ON_A_GPU and spec.device == "cpu":
        raise StageBroken(f"stage {stage!r}: {what} is computed on a GPU alone, not `device: cpu`")


def leave_out_parts(config: Any) -> None:
    """Makes transformers leave out the layers that AutoAWQ left out.

    A checkpoint names them by a part of their name (`visual`), which AutoAWQ looked for anywhere;
    transformers 5.23 wants it at the beginning or the end, so that an image tower under
    `model.visual` would be asked for quantised weights that there are not.
    """
    told = getattr(config, "quantization_config", None)
    if not isinstance(told, dict) or told.get("quant_method") != "awq":
        return
    names = told.get("modules_to_not_convert") or []
    told["modules_to_not_convert"] = [*names, *(rf".*\.{re.escape(name)}" for name in names)]


def gpu_note(spec: "Spec", config: dict[str, Any]) -> list[str]:
    """A word where only a worker with a GPU can load the weights, and this machine has none."""
    import torch

    method = quantisation(config)
    if method not in ON_A_GPU or torch.cuda.is_available():
        return []
    return [
        f"weights quantised by {method} want a GPU, which this machine has not: a worker's must"
    ]
