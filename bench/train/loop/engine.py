"""What a task must offer to be trained by bench.train.loop.loop."""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class Engine(Protocol):
    """One task's networks, optimisers, data and random generators; made as `Engine(run, device)`.

    An engine may also have `shrink(error) -> str | None`: after an out-of-memory error, halve what is computed at
    once with the same result and say so, or give None; `micro_batch`: images computed at once, where that is not the
    batch; `ends_part(done) -> bool`: after these steps a checkpoint is due whatever the time.
    """

    device: torch.device
    total_steps: int
    unit: str
    images_per_step: int

    def step(self, index: int) -> dict[str, Tensor]:
        """Take step `index` (from 0); detached scalar tensors, no host sync. Gradient norms among them are guarded."""

    def learning_rates(self) -> dict[str, float]: ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain types only, random generators included: all that the following steps depend on."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def reseed(self, rollback: int) -> None:
        """New random streams from (seed, rollback), after a rollback to the last good checkpoint."""

    def observe(self, done: int, out: Path) -> None:
        """After `done` steps (0: untrained): write what is due below `out`, atomically, changing no state."""

    def export(self, out: Path) -> dict[str, Any]:
        """Write model.safetensors (bench.export.save_weights) and last samples; fields for model.json's training."""
