"""Determines which batches can be split into micro-batches after an out-of-memory error, and which size fits.

Splitting a batch changes only rounding if no layer couples the images of a pass. Batch norm with batch statistics
couples images, and spectral norm runs a power iteration in every pass.
"""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from bench.runtime.memory import is_out_of_memory

T = TypeVar("T")


def couples_images(network: nn.Module) -> str | None:
    """Return the kind of layer that makes the result of an image depend on the other images of a pass, or None."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats):
            return "batch norm"
        if parametrize.is_parametrized(module) and module.training:
            return "spectral norm"
    return None


def largest_that_fits(too_large: int, attempt: Callable[[int], object], smallest: int = 1) -> int | None:
    """Find by bisection the largest number below `too_large` with which `attempt` does not run out of memory.

    Numbers below `smallest` are not tried. Returns None if no number fits.
    """
    low, high = smallest - 1, too_large
    while high - low > 1:
        middle = (low + high) // 2
        if fits(lambda size=middle: attempt(size)) is None:
            high = middle
        else:
            low = middle
    return low if low >= smallest else None


def fits(work: Callable[[], T]) -> tuple[T] | None:
    """Return the result of `work` as a tuple, or None if `work` runs out of memory. Its tensors are then freed."""
    try:
        return (work(),)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    free_memory()
    return None


def free_memory() -> None:
    """Release the unused memory of Python and of the GPU allocator."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
