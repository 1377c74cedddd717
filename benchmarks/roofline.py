"""Roofline lower bound for the time of one step: the sum over its convolutions and matrix products.

Each operation takes at least max(operations / matrix rate, bytes / bandwidth), with every input read once and the
output written once. Rate and bandwidth are measured on this device, not looked up.
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
    """Roofline bound of `step` in seconds. The step must run eagerly: a compiled one shows no operations."""
    with Roofline() as roofline:
        step()
    return roofline.seconds


class Roofline(TorchDispatchMode):
    """Adds up the bounds of the operations that it sees."""

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
    """Operations a second of a large square matrix product."""
    side = SIDE[device]
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / _fastest(lambda: torch.mm(a, b))


@functools.lru_cache
def bandwidth(device: str) -> float:
    """Bytes a second of a large copy, read and written."""
    source = torch.zeros(COPIED_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _fastest(lambda: target.copy_(source))


def _fastest(work: Callable[[], object]) -> float:
    with torch.utils._python_dispatch._disable_current_modes():
        return min(interleaved({"work": work}, 5)["work"])
