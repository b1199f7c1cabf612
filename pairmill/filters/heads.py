"""Small classifiers on embeddings: linear and MLP heads from files, in NumPy.

Known layouts: any chain of linear layers; LAION's aesthetic predictors (`sac+logos+ava1-l14-
linearMSE`: five layers with nothing between them; `sa_0_4_vit_*_linear`: one layer), its H/14 NSFW
detector (seven layers, ReLU after the first five), and the L/14 NSFW detector's port (`norm`, then
`linear_1` to `linear_4`, ReLU, a sigmoid at the end).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np

from pairmill.errors import StageBroken

Activation = Literal["auto", "none", "relu", "gelu", "tanh"]
NONE: Activation = "none"
RELU: Activation = "relu"
Output = Literal["auto", "none", "sigmoid", "softmax"]
AESTHETIC = ((0, 2, 4, 6, 7), (1024, 128, 64, 16))
NSFW_H14 = ((0, 3, 6, 9, 12, 15, 16), (1024, 2048, 1024, 256, 128, 16))
NSFW_L14 = ((1, 2, 3, 4), (64, 512, 256))
"""Numbers in the layers' names, and outputs of all but the last, of LAION's published heads."""


@dataclass(frozen=True)
class Head:
    """Layers in order: weights float32 (out, in), biases float32 (out,); an activation after
    each.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activations: tuple[Activation, ...]
    output: Output
    mean: np.ndarray | None = None
    deviation: np.ndarray | None = None
    """What embeddings are centred and divided by first, float32 (in,)."""

    @property
    def inputs(self) -> int:
        """Length of the embeddings that it takes."""
        return int(self.weights[0].shape[1])

    @property
    def outputs(self) -> int:
        """How many numbers it answers with."""
        return len(self.biases[-1])

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """float32 (n, outputs) of embeddings, float32 (n, inputs)."""
        found = vectors
        if self.mean is not None and self.deviation is not None:
            found = (found - self.mean) / self.deviation
        for weight, bias, after in zip(self.weights, self.biases, self.activations, strict=True):
            found = activated(found @ weight.T + bias, after)
        if self.output == "sigmoid":
            return 1 / (1 + np.exp(-found))
        return softmax(found) if self.output == "softmax" else found


def activated(values: np.ndarray, kind: Activation) -> np.ndarray:
    """An activation, value by value."""
    if kind == "relu":
        return np.maximum(values, 0)
    if kind == "tanh":
        return np.tanh(values)
    if kind == "gelu":
        from scipy.special import erf

        return (values * 0.5 * (1 + erf(values / np.sqrt(2)))).astype(np.float32)
    return values


def softmax(values: np.ndarray) -> np.ndarray:
    """Probabilities of logits, row by row."""
    raised = np.exp(values - values.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def read_head(stage: str, path: str, activation: Activation, output: Output) -> Head:
    """The head of a file; raises StageBroken where it is none."""
    arrays = read_arrays(stage, path)
    names = sorted({n.removesuffix(".weight") for n in arrays if n.endswith("weight")}, key=natural)
    weights, biases = [], []
    for name in names:
        weight = arrays[f"{name}.weight" if f"{name}.weight" in arrays else "weight"]
        if weight.ndim == 1:
            weight = weight[None]
        bias = arrays.get(f"{name}.bias" if name != "weight" else "bias")
        weights.append(weight)
        biases.append(np.zeros(len(weight), np.float32) if bias is None else bias.reshape(-1))
    check_layers(stage, path, names, weights, biases)
    widths = tuple(len(bias) for bias in biases)
    known_after, known_output = known(names, widths[:-1])
    after = known_after if activation == "auto" else [activation] * (len(widths) - 1) + ["none"]
    end = known_output if output == "auto" else output
    norm = [arrays[name] for name in ("norm.mean", "norm.variance") if name in arrays]
    if len(norm) < 2:
        return Head(tuple(weights), tuple(biases), tuple(after), end)
    mean, deviation = norm[0].reshape(-1), np.sqrt(norm[1].reshape(-1))
    return Head(tuple(weights), tuple(biases), tuple(after), end, mean, deviation)


def check_layers(
    stage: str, path: str, names: list[str], weights: list[np.ndarray], biases: list[np.ndarray]
) -> None:
    """Raises StageBroken where layers do not fit together."""
    if not names:
        raise StageBroken(f"stage {stage!r}: {path} holds no array `weight` or `….weight`")
    width = None
    for name, weight, bias in zip(names, weights, biases, strict=True):
        fits = weight.ndim == 2 and len(bias) == len(weight) and width in (None, weight.shape[1])
        if not fits:
            raise StageBroken(
                f"stage {stage!r}: {path}: the layer {name!r} ({weight.shape}, bias "
                f"{bias.shape}) does not follow one of {width} outputs; layers are linear ones, in "
                "order of their names"
            )
        width = len(weight)


def last_number(name: str) -> int:
    """The number at the end of a layer's name; -1 where there is none."""
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits) if digits else -1


def known(names: list[str], widths: tuple[int, ...]) -> tuple[list[Activation], Output]:
    """Activations after each layer and at the end, of a published head; ReLU in any other."""
    relu = [*repeat(RELU, len(names) - 1), NONE]
    layout = (tuple(map(last_number, names)), widths)
    if layout == AESTHETIC:
        return [*repeat(NONE, len(names))], "none"
    if layout == NSFW_H14:
        return [*repeat(RELU, 5), NONE, NONE], "none"  # its layers 15 and 16 touch
    return relu, "sigmoid" if layout == NSFW_L14 else "none"


def read_arrays(stage: str, path: str) -> Mapping[str, np.ndarray]:
    """Arrays of a safetensors, npz or PyTorch file by name, float32; never runs code of a file.

    Raises StageBroken where they cannot be read, or are not all finite.
    """
    kind = Path(path).suffix.lower()
    try:
        if kind == ".safetensors":
            from safetensors.numpy import load_file

            arrays = dict(load_file(path))
        elif kind == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        elif kind == ".npy":
            arrays = {"weight": np.load(path, allow_pickle=False)}
        elif kind in (".pt", ".pth", ".bin"):
            import torch

            state = torch.load(path, map_location="cpu", weights_only=True)
            state = {"weight": state} if isinstance(state, torch.Tensor) else state
            state = state.get("state_dict", state)
            arrays = {n: t.float().numpy() for n, t in state.items() if hasattr(t, "numpy")}
        else:
            raise StageBroken(
                f"stage {stage!r}: {path} is neither .safetensors nor .npz, .npy, .pt or .pth"
            )
    except StageBroken:
        raise
    except Exception as error:  # three libraries' own errors
        raise StageBroken(f"stage {stage!r}: {path} cannot be read: {error}") from error
    found = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    if faulty := [name for name, array in found.items() if not np.isfinite(array).all()]:
        raise StageBroken(
            f"stage {stage!r}: {path} holds NaN or infinity (in {', '.join(faulty[:3])})"
        )
    return found


def natural(name: str) -> list[tuple[int, str]]:
    """Order in which `layers.2` comes before `layers.10`."""
    parts = re.split(r"(\d+)", name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
