"""Checks for NaN and infinity in the training loop, and the limit on rollbacks to the last checkpoint."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

MAX_ROLLBACKS = 3
CHECK_EVERY = 10
"""Number of steps between two checks of the scalars. A fixed number makes results independent of the logging
interval."""


class Window:
    """Means of the scalars since the last row of history.csv, accumulated on the device.

    Reading the means costs one device synchronisation. A sum is finite only if every summand is finite, so a finite
    mean shows that the scalar was finite at each step of the window.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, scalars: dict[str, Tensor]) -> None:
        for key, value in scalars.items():
            value = value.detach().float()
            self._sums[key] = self._sums[key] + value if key in self._sums else value.clone()
            self._counts[key] = self._counts.get(key, 0) + 1

    def means(self) -> dict[str, float]:
        if not self._sums:
            return {}
        values = torch.stack(list(self._sums.values())).tolist()
        return {key: value / self._counts[key] for key, value in zip(self._sums, values, strict=True)}

    def not_finite(self) -> list[str]:
        """Return the names of the scalars that were NaN or infinite at least once."""
        return [key for key, value in self.means().items() if not _finite(value)]

    def clear(self) -> None:
        self._sums, self._counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self._sums = {key: value.to(device) for key, value in state["sums"].items()}
        self._counts = dict(state["counts"])


@torch.no_grad()
def gradient_norm(module: nn.Module) -> Tensor:
    """Return the Euclidean norm of all gradients. The norm is NaN or infinite if any gradient is."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def _finite(value: float) -> bool:
    return value - value == 0.0


def state_is_finite(state: Any) -> bool:
    """Return whether every floating-point tensor in nested dicts, lists and tuples is finite.

    A checkpoint must not contain NaN or infinity.
    """
    tensors = [t for t in _tensors(state) if t.is_floating_point() and t.numel()]
    # the maximum norm needs one pass without a copy, and is NaN or infinite if any element is
    norms = torch._foreach_norm(tensors, float("inf")) if tensors else []
    return all(_finite(value) for value in torch.stack([n.float().cpu() for n in norms]).tolist()) if norms else True


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)
