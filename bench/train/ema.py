"""Exponential moving average of a model's parameters. Buffers are copied from the live model.

Averaged batch statistics and power-iteration vectors would lag behind the live model that they describe. As in the
authors' FastGAN, all buffers are therefore copied from the live model when the average is used.
"""

import copy

import torch
from torch import Tensor, nn


class Ema:
    """Averaged copy of `model`. With `warmup`, the decay is min(decay, (1 + t) / (10 + t)) after t updates."""

    def __init__(self, model: nn.Module, decay: float, warmup: bool = False):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._shadow = list(self.model.parameters())
        self._live = list(model.parameters())
        self._shadow_buffers, self._live_buffers = list(self.model.buffers()), list(model.buffers())

    def decay_at(self, updates: int) -> float:
        return min(self.decay, (1 + updates) / (10 + updates)) if self.warmup else self.decay

    @torch.no_grad()
    def update(self) -> None:
        weight = 1.0 - self.decay_at(self.updates)
        torch._foreach_lerp_(self._shadow, [p.detach() for p in self._live], weight)
        self.updates += 1

    @torch.no_grad()
    def averaged(self) -> nn.Module:
        """Return the averaged model (not a copy) with the live model's current buffers. It must not be trained."""
        for shadow, live in zip(self._shadow_buffers, self._live_buffers, strict=True):
            shadow.copy_(live)
        return self.model

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "parameters": [p.detach() for p in self._shadow]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, object]) -> None:
        self.updates = int(state["updates"])
        saved: list[Tensor] = state["parameters"]
        for shadow, value in zip(self._shadow, saved, strict=True):
            shadow.copy_(value)
