"""Computes the roofline bound of one step, which is the sum of the bounds of its convolutions and matrix products.

Each operation takes at least max(FLOPs / matrix rate, bytes / bandwidth), where every input is read once and the output
is written once. The matrix rate (FLOPs per second of a matrix product) and the bandwidth are measured on the device.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.timing import interleaved

SIDE = {"cpu": 2048, "cuda": 8192}
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}


def roofline_seconds(step: Callable[[], object]) -> float:
    """Return the roofline bound of `step` in seconds. The step must be eager, because compilation hides operations."""
    with Roofline() as roofline:
        step()
    return roofline.seconds


class Roofline(TorchDispatchMode):
    """Dispatch mode that sums the bounds of all convolutions and matrix products that run in it."""

    seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        operations = flop_registry.get(func.overloadpacket)
        if operations is not None:
            tensors = [leaf for leaf in tree_leaves((args, out)) if isinstance(leaf, Tensor)]
            device, dtype = tensors[0].device.type, tensors[0].dtype
            moved = sum(tensor.nbytes for tensor in tensors) / bandwidth(device)
            self.seconds += max(operations(*args, **(kwargs or {}), out_val=out) / matrix_rate(device, dtype), moved)
        return out


@functools.lru_cache
def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Return the measured FLOPs per second of a large square matrix product."""
    side = SIDE[device]
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / _fastest(lambda: torch.mm(a, b))


@functools.lru_cache
def bandwidth(device: str) -> float:
    """Return the measured bytes per second of a large copy, counting bytes read and bytes written."""
    source = torch.zeros(COPIED_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _fastest(lambda: target.copy_(source))


def _fastest(workload: Callable[[], object]) -> float:
    with torch.utils._python_dispatch._disable_current_modes():
        return min(interleaved({"workload": workload}, 5)["workload"])
