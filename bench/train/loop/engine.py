"""Interface between a task and the training loop in bench.train.loop.loop."""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

NETWORK_COPIES = 3
"""Minimum number of tensors per parameter in training: the parameter, its gradient and one optimiser moment."""


class Engine(Protocol):
    """Networks, optimisers, data and random generators of one task, created as `Engine(run, device)`.

    Optional members:
        shrink(error) -> str | None: after an out-of-memory error, halve the micro-batch at the same batch size, and
            return a description of the change, or None if the micro-batch cannot be halved. The description must state
            any effect on the results other than rounding.
        size_that_fits() -> str: after shrink returned None, measure the size that fits in memory, and return this
            size with the recipe key to set. Training does not continue afterwards.
        micro_batch: number of images computed at once, if it differs from the batch size.
        ends_part(done) -> bool: whether a checkpoint is due after `done` steps, regardless of `checkpoint_seconds`.
    """

    device: torch.device
    total_steps: int
    unit: str
    images_per_step: int

    def step(self, index: int) -> dict[str, Tensor]:
        """Take step `index` (from 0) and return detached scalar tensors without a host sync.

        The loop checks that all scalars, including gradient norms, are finite.
        """

    def learning_rates(self) -> dict[str, float]: ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later steps depend on, including random generators, as tensors and plain types."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def reseed(self, rollback: int) -> None:
        """Seed all random streams from (seed, rollback), after a rollback to the last checkpoint."""

    def observe(self, done: int, out: Path) -> None:
        """Write the outputs due after `done` steps (0: untrained) to `out`, atomically and without changing state."""

    def export(self, out: Path) -> dict[str, Any]:
        """Write model.safetensors (bench.export.save_weights) and the final samples; return fields for model.json."""
