"""Attention over a class token and a square of patches, in one pass: a kernel for GPUs.

Kernels made for long sequences work in tiles of 128 rows and columns.  A picture's 257 tokens are
one more than two tiles, so that nine tiles are computed where four hold nearly everything.  Here
the patches are one block, the class token's column is added as a vector, and its row is a program
of its own; nothing is left that a second pass over the keys would have to correct.
"""

from typing import Any

import triton
import triton.language as tl

CHOICES = ((64, 4), (128, 8))
"""(rows of a tile, warps), of which the fastest is taken."""
MOST = 256
"""Patches at most: all their keys are in registers at once."""


@triton.jit
def _attend(
    qkv, out, scale, HEADS: tl.constexpr, WIDTH: tl.constexpr, PATCHES: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """One tile of rows of one head of one picture; the last tile is the class token's row."""
    tile = tl.program_id(0)
    picture = (tl.program_id(1) // HEADS).to(tl.int64)
    head = tl.program_id(1) % HEADS
    row: tl.constexpr = 3 * HEADS * WIDTH
    first = qkv + picture * (PATCHES + 1) * row + head * WIDTH
    dims = tl.arange(0, WIDTH)
    keys = 1 + tl.arange(0, PATCHES)
    at = first + HEADS * WIDTH + keys[:, None] * row + dims[None, :]
    k = tl.load(at)
    v = tl.load(at + HEADS * WIDTH)
    k0 = tl.load(first + HEADS * WIDTH + dims)
    v0 = tl.load(first + 2 * HEADS * WIDTH + dims).to(tl.float32)
    to = out + picture * (PATCHES + 1) * HEADS * WIDTH + head * WIDTH
    if tile == PATCHES // ROWS:
        q_class = tl.load(first + dims).to(tl.float32)
        of_keys = tl.sum(k.to(tl.float32) * q_class[None, :], 1) * scale
        of_class = tl.sum(k0.to(tl.float32) * q_class, 0) * scale
        highest = tl.maximum(tl.max(of_keys, 0), of_class)
        shares = tl.exp2(of_keys - highest)
        share = tl.exp2(of_class - highest)
        mixed = tl.sum(shares[:, None] * v.to(tl.float32), 0) + share * v0
        mixed = mixed / (tl.sum(shares, 0) + share)
        tl.store(to + dims, mixed.to(out.dtype.element_ty))
    else:
        rows = 1 + tile * ROWS + tl.arange(0, ROWS)
        q = tl.load(first + rows[:, None] * row + dims[None, :])
        s0 = tl.sum(q.to(tl.float32) * k0[None, :].to(tl.float32), 1) * scale
        s = tl.dot(q, tl.trans(k)) * scale
        most = tl.maximum(tl.max(s, 1), s0)
        p = tl.exp2(s - most[:, None])
        p0 = tl.exp2(s0 - most)
        total = tl.sum(p, 1) + p0
        found = tl.dot(p.to(v.dtype), v) + p0[:, None] * v0[None, :]
        found = found / total[:, None]
        tl.store(to + rows[:, None] * HEADS * WIDTH + dims[None, :], found.to(out.dtype.element_ty))


def fits(tokens: int, width: int) -> bool:
    """Whether the kernel is made for so many tokens of a picture, and heads of such a width."""
    patches = tokens - 1
    return 16 <= patches <= MOST and patches & (patches - 1) == 0 and width in (32, 64, 128)


def attend(qkv: Any, choice: tuple[int, int] = CHOICES[0]) -> Any:
    """(n, tokens, heads · width) of (n, tokens, 3, heads, width) half-precision queries, keys and
    values.
    """
    import torch

    count, tokens, _, heads, width = qkv.shape
    out = torch.empty((count, tokens, heads * width), dtype=qkv.dtype, device=qkv.device)
    rows = min(choice[0], tokens - 1)
    scale = width**-0.5 * 1.4426950408889634  # of powers of two
    _attend[((tokens - 1) // rows + 1, count * heads)](
        qkv, out, scale, heads, width, tokens - 1, rows, num_warps=choice[1]
    )
    return out
