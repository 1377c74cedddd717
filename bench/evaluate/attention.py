"""Records the values of a network's gates for the report's figures.

For a gate with a method `attention(low) -> (masks [B, G, h, w], styles [B, G, C])`, such as skip-layer SLIM, the masks
and the strength of each style are recorded. The strength is the root mean square over the C channels. For a gate with a
method `channel_gate(low) -> [B, C]`, such as SLE, the factor of each channel is recorded. The factor is the same at all
positions.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.files import write_bytes
from bench.ownership import ATTENTION_KIND

ATTENTION = "attention.safetensors"
"""File in a scores folder. The file contains the images and, for each gate NAME, the tensors NAME/masks and
NAME/strength, or NAME/channels. The metadata list the gates in the order of the network, and the sizes of the feature
maps `low` and `high`."""


class GateRecords:
    """Values of each gate over all recorded forward passes. `sizes`: gate -> [[h, w], [H, W]] of `low` and `high`."""

    def __init__(self) -> None:
        self.sizes: dict[str, list[list[int]]] = {}
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, gate: str, part: str, values: Tensor) -> None:
        self._values[f"{gate}/{part}"].append(values.detach().cpu())

    def tensors(self, count: int) -> dict[str, Tensor]:
        """Return a mapping from GATE/PART to the values for the first `count` images."""
        return {name: torch.cat(values)[:count].contiguous() for name, values in self._values.items()}


@contextmanager
def recorded_gates(network: nn.Module) -> Iterator[GateRecords]:
    """Record the gates of `network` in every forward pass within the block.

    Recording changes neither the output of the network nor the state of the random number generators.
    """
    records = GateRecords()
    handles = [
        module.register_forward_pre_hook(_hook(records, name))
        for name, module in network.named_modules()
        if hasattr(module, "attention") or hasattr(module, "channel_gate")
    ]
    try:
        yield records
    finally:
        for handle in handles:
            handle.remove()


def _hook(records: GateRecords, name: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
    def record(module: Any, maps: tuple[Tensor, ...]) -> None:
        low, high = maps[:2]
        records.sizes[name] = [list(low.shape[2:]), list(high.shape[2:])]
        devices = [low.device] if low.is_cuda else []
        with torch.random.fork_rng(devices):  # the forward pass then draws the same mask noise again
            if not hasattr(module, "attention"):
                records.add(name, "channels", module.channel_gate(low).float())
                return
            masks, styles = module.attention(low)
        records.add(name, "masks", masks.half())
        records.add(name, "strength", styles.float().square().mean(2).sqrt())

    return record


def save_attention(path: Path, images: Tensor, records: GateRecords) -> None:
    """Write images, uint8 [N, 3, H, W], and their gate values. Write nothing for a network without gates."""
    from safetensors.torch import save

    if not records.sizes:
        return
    tensors = {"images": images.cpu().contiguous(), **records.tensors(len(images))}
    gates = [{"name": name, "low": low, "high": high} for name, (low, high) in records.sizes.items()]
    write_bytes(path, save(tensors, {"kind": ATTENTION_KIND, "gates": json.dumps(gates)}))
