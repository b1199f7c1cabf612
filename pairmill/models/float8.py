"""Products of matrices in eight-bit floats (e4m3): each row of weights and of activations has a
scale of its own, the activations' found as they come.
"""

from typing import Any

LARGEST = 448.0
"""Of e4m3."""
TINY = 1e-12


def in_eight_bits(rows: Any) -> tuple[Any, Any]:
    """((m, k) float8, (m, 1) float32 scales) of (m, k)."""
    import torch

    rows = rows.float()
    scale = rows.abs().amax(-1, keepdim=True).clamp(min=TINY) / LARGEST
    return (rows / scale).to(torch.float8_e4m3fn), scale


def product(rows: Any, weight: Any, bias: Any) -> Any:
    """(m, n) = rows · weightᵀ + bias, in eight bits where the weight is a pair of them and its
    scales; on a CPU the same numbers are multiplied as float32.
    """
    import torch

    if not isinstance(weight, tuple):
        return torch.nn.functional.linear(rows, weight, bias)
    small, scale = in_eight_bits(rows)
    if rows.device.type == "cpu":
        whole = (small.float() * scale) @ (weight[0].float() * weight[1]).t()
        return (whole + bias.float()).to(rows.dtype)
    return torch._scaled_mm(
        small, weight[0].t(), scale_a=scale, scale_b=weight[1].t(), bias=bias,
        out_dtype=rows.dtype, use_fast_accum=True,
    )  # fmt: skip


def why_not_float8() -> str | None:
    """Why this worker cannot multiply in eight bits; None where it can."""
    import torch

    if not torch.cuda.is_available():
        return "no GPU is there"
    if torch.cuda.get_device_capability() < (8, 9):
        return f"{torch.cuda.get_device_name()} has no products of eight-bit floats"
    return None
