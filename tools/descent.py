"""Gradient descent of the demo's models, and what it prints on the way."""

import time

import numpy as np
import torch
from torch import nn


class Clock:
    """Prints loss and pace a few times a minute."""

    def __init__(self, title: str, steps: int) -> None:
        self.title, self.steps, self.start, self.last, self.losses = (
            title,
            steps,
            time.time(),
            0.0,
            [],
        )

    def tick(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if time.time() - self.last > 20 or step == self.steps - 1:
            self.last = time.time()
            mean = sum(self.losses[-50:]) / len(self.losses[-50:])
            print(
                f"{self.title} {step + 1}/{self.steps} loss {mean:.3f} "
                f"{time.time() - self.start:.0f} s",
                flush=True,
            )


class Descent:
    """Muon for matrices inside the layers, AdamW for the rest; warm-up, then cosine.  Muon learns
    shapes in half the steps.
    """

    def __init__(self, model: nn.Module, steps: int, peak: float) -> None:
        inner = [p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n]
        held = {id(p) for p in inner}
        rest = [p for p in model.parameters() if id(p) not in held]
        self.model = model
        self.optimisers = [
            torch.optim.Muon(inner, lr=3 * peak, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=peak, weight_decay=0.02, betas=(0.9, 0.98)),
        ]
        warm = max(1, min(200, steps // 10))
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(
                one,
                lambda s: min(
                    (s + 1) / warm, 0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, s / steps)))
                ),
            )
            for one in self.optimisers
        ]

    def step(self, loss: torch.Tensor) -> float:
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for part in (*self.optimisers, *self.schedules):
            part.step()
        for one in self.optimisers:
            one.zero_grad(set_to_none=True)
        return float(loss.detach())
