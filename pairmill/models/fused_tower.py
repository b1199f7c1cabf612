"""CLIP's image tower with few passes over memory, for `compile: true` on a GPU.

The same sums as transformers' own tower in another order of kernels: bytes are normalised, cut into
patches and multiplied in one go; queries, keys and values are one product; what lies between two
attentions is one compiled piece, its norms, biases, activation and residuals fused; the last layer
is computed for the class token, which alone is asked for.  It is tried at load against the tower
itself, and taken only where both agree.
"""

from typing import Any

from pairmill.models.transfers import features
from pairmill.torch_device import is_out_of_memory

AGREED = 0.03
"""Largest distance of unit vectors, in half precision, from the tower's own; two orders of the same
sums were 0.008 apart with random weights of a B/32.
"""
TRIED = 8
"""Pictures of noise on which both are compared."""
MODE: str | None = None
"""torch.compile's mode: None, or `max-autotune-no-cudagraphs`."""
PARTS = (4, 2)
"""A batch of no more than such a part of the full one is computed as that part, others as full
ones: each size is compiled for itself.
"""


class FusedTower:
    """An image tower of the CLIP kind; `fast`: the stage's preprocessing, whose bytes it takes."""

    def __init__(self, model: Any, fast: Any) -> None:
        import torch

        tower = model.vision_model
        self.device, self.dtype = model.device, model.dtype
        self.full = 0
        layers = list(tower.encoder.layers)
        seen = tower.embeddings
        kernel = seen.patch_embedding.weight.detach()
        self.patch, self.side = kernel.shape[-1], fast.shape[0]
        flat = kernel.flatten(1)
        self.spare = -flat.shape[1] % 16  # rows of odd lengths take slow kernels
        norm = tower.pre_layrnorm
        self.start = (
            torch.nn.functional.pad(flat, (0, self.spare)),
            seen.class_embedding.detach(),
            seen.position_embedding.weight.detach(),
            *weights_of(norm),
            fast.mean.to(self.device).flatten(),
            fast.std.to(self.device).flatten(),
        )
        self.eps, self.act = norm.eps, layers[0].mlp.activation_fn
        self.heads = layers[0].self_attn.num_heads
        self.tokens, self.width = seen.position_embedding.weight.shape
        self.before = [self.first_half(layer) for layer in layers]
        self.after = [self.second_half(layer) for layer in layers]
        last = (*weights_of(tower.post_layernorm), model.visual_projection.weight.detach())
        self.end = last
        self.entered, self.passed, self.left = self.entrance, self.between, self.exit

    def weight(self, *linears: Any) -> tuple[Any, Any]:
        """(weight, bias) of linear layers as one."""
        import torch

        whole = torch.cat([linear.weight.detach() for linear in linears])
        return whole, torch.cat([linear.bias.detach() for linear in linears])

    def first_half(self, layer: Any) -> tuple[Any, ...]:
        """Weights up to a layer's attention."""
        heart = layer.self_attn
        return (
            *weights_of(layer.layer_norm1),
            *self.weight(heart.q_proj, heart.k_proj, heart.v_proj),
        )

    def second_half(self, layer: Any) -> tuple[Any, ...]:
        """Weights behind a layer's attention."""
        return (
            *self.weight(layer.self_attn.out_proj),
            *weights_of(layer.layer_norm2),
            *self.weight(layer.mlp.fc1),
            *self.weight(layer.mlp.fc2),
        )

    def entrance(self, pixels: Any, start: tuple[Any, ...], half: tuple[Any, ...]) -> Any:
        """(hidden states, first queries, keys and values) of (n, height, width, 4) uint8."""
        import torch

        flat, head, places, scale, shift, mean, std = start
        n, p, grid = len(pixels), self.patch, self.side // self.patch
        seen = (pixels[..., :3].float() - mean) / std
        seen = seen.to(flat.dtype).view(n, grid, p, grid, p, 3).permute(0, 1, 3, 5, 2, 4)
        seen = torch.nn.functional.pad(seen.reshape(n * grid * grid, 3 * p * p), (0, self.spare))
        patches = (seen @ flat.t()).view(n, grid * grid, -1)
        tokens = torch.cat([head.expand(n, 1, -1), patches], 1) + places
        hidden = self.normed(tokens, scale, shift).view(n * self.tokens, -1)
        return hidden, self.queries(hidden, half)

    def normed(self, hidden: Any, weight: Any, bias: Any) -> Any:
        """Layer norm."""
        import torch

        return torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], weight, bias, self.eps)

    def queries(self, hidden: Any, half: tuple[Any, ...]) -> Any:
        """Queries, keys and values as one array."""
        scale, shift, weight, bias = half
        return linear(self.normed(hidden, scale, shift), weight, bias)

    def settled(self, hidden: Any, mixed: Any, half: tuple[Any, ...]) -> Any:
        """What a layer gives, of what its attention gave."""
        out, out_bias, scale, shift, up, up_bias, down, down_bias = half
        hidden = hidden + linear(mixed, out, out_bias)
        inner = self.act(linear(self.normed(hidden, scale, shift), up, up_bias))
        return hidden + linear(inner, down, down_bias)

    def between(
        self, hidden: Any, mixed: Any, half: tuple[Any, ...], following: tuple[Any, ...]
    ) -> Any:
        """(hidden states, next queries, keys and values) of what an attention gave."""
        hidden = self.settled(hidden, mixed, half)
        return hidden, self.queries(hidden, following)

    def exit(self, hidden: Any, mixed: Any, half: tuple[Any, ...], end: tuple[Any, ...]) -> Any:
        """(n, d) float32 of the class tokens of the last layer."""
        scale, shift, projection = end
        hidden = self.settled(hidden, mixed, half)
        return (self.normed(hidden, scale, shift) @ projection.t()).float()

    def vectors(self, pixels: Any) -> Any:
        """(n, d) float32 on the device of (n, height, width, 4) uint8 that lie there."""
        import torch

        n = len(pixels)
        hidden, qkv = self.entered(pixels, self.start, self.before[0])
        for half, following in zip(self.after, self.before[1:], strict=False):
            mixed = attention(self.split(qkv, n))
            hidden, qkv = self.passed(hidden, mixed.view(hidden.shape), half, following)
        q, k, v = self.split(qkv, n).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(q[:, :, :1], k, v)
        hidden = hidden.view(n, self.tokens, -1)[:, 0]
        return self.left(hidden.contiguous(), mixed.reshape(n, -1), self.after[-1], self.end)

    def split(self, qkv: Any, n: int) -> Any:
        """(n, tokens, 3, heads, width)."""
        return qkv.view(n, self.tokens, 3, self.heads, -1)

    def __call__(self, pixels: Any) -> Any:
        """As `vectors`, in a size that is compiled already wherever that is larger."""
        n = len(pixels)
        sizes = [self.full // part for part in PARTS] + [self.full]
        size = next((size for size in sizes if n <= size), n)
        if size > n:
            padded = pixels.new_zeros((size, *pixels.shape[1:]))
            padded[:n] = pixels
            pixels = padded
        try:
            found = self.vectors(pixels)
        except Exception:  # out of memory, most likely: what comes next is smaller, and stays so
            self.full = 0
            raise
        self.full = max(self.full, n)
        return found[:n]

    def compile(self) -> None:
        """Kernels are made when a size is first seen."""
        import torch

        options: dict[str, Any] = {"mode": MODE, "dynamic": False}
        self.entered = torch.compile(self.entrance, **options)
        self.passed = torch.compile(self.between, **options)
        self.left = torch.compile(self.exit, **options)

    def warm(self, batch_size: int) -> None:
        """Makes all kernels for batches of such a size."""
        import torch

        pixels = torch.zeros(
            (batch_size, self.side, self.side, 4), dtype=torch.uint8, device=self.device
        )
        with torch.inference_mode():
            self(pixels)


def weights_of(norm: Any) -> tuple[Any, Any]:
    """Of a layer norm."""
    return norm.weight.detach(), norm.bias.detach()


def attention(qkv: Any) -> Any:
    """(n, tokens, heads · width) of (n, tokens, 3, heads, width)."""
    import torch

    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return mixed.transpose(1, 2).flatten(2)


def linear(rows: Any, weight: Any, bias: Any) -> Any:
    """(m, n) = rows · weightᵀ + bias."""
    import torch

    return torch.nn.functional.linear(rows, weight, bias)


class BuiltOtherwise(Exception):
    """A model whose image tower is not computed here."""


def fused_tower(model: Any, fast: Any) -> FusedTower:
    """The tower of a model that is built like CLIP's; raises BuiltOtherwise for any other, and
    where its answers are not those of the model's own.
    """
    import torch

    if fast is None or fast.shape is None or fast.shape[0] != fast.shape[1]:
        raise BuiltOtherwise("its pictures are not prepared as CLIP's are")
    try:
        tower = FusedTower(model, fast)
        apart = distance(tower, model, fast)
    except Exception as error:  # a part has another name, or another shape
        if is_out_of_memory(error):
            raise
        raise BuiltOtherwise("its image tower is not built like CLIP's") from error
    if not apart <= AGREED:
        raise BuiltOtherwise(f"its image tower would be {apart:.3f} away from its own answers")
    if tower.device.type == "cuda":
        torch._dynamo.config.recompile_limit = max(16, torch._dynamo.config.recompile_limit)
        tower.compile()
    return tower


def distance(tower: FusedTower, model: Any, fast: Any) -> float:
    """The largest between unit vectors of pictures of noise, by the tower and by the model."""
    import torch

    shape = (TRIED, *fast.shape, 4)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8).to(model.device)
    with torch.inference_mode():
        values = fast.normalised(pixels).to(model.dtype)
        own = features(model.get_image_features(pixel_values=values))
        sides = [torch.nn.functional.normalize(v.float()) for v in (own, tower.vectors(pixels))]
        return float(torch.linalg.vector_norm(sides[0] - sides[1], dim=1).max())
