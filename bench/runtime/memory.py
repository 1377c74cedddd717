"""Measures and checks memory of the process and the device, and makes the allocator reuse freed blocks."""

import ctypes
import os
import platform
import re
import resource
import sys
from pathlib import Path

import torch

from bench.errors import InputError, first_line

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NO_TRIM = 2**31 - 1
CGROUP_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files with the memory limit and usage of a container, for versions 2 and 1 of Linux control groups."""
MIN_CHECKED_BYTES = 2**20
"""Size in bytes up to which an allocation is not checked."""


def available_memory_bytes() -> int:
    """Return the bytes that this process can still allocate on the machine, in its container and under `ulimit -v`."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")]
    if match := re.search(r"MemAvailable:\s*(\d+) kB", _read("/proc/meminfo")):  # includes caches that can be freed
        found = [int(match.group(1)) * 1024]
    for limit, used in CGROUP_LIMITS:
        if _read(limit).isdecimal() and _read(used).isdecimal():
            found.append(int(_read(limit)) - int(_read(used)))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and (pages := _read("/proc/self/statm").split()):
        found.append(limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found))


def check_memory(needed: int, what: str) -> None:
    """Raise InputError if `needed` bytes for `what` exceed the available memory, before any of them is allocated."""
    available = available_memory_bytes() if needed > MIN_CHECKED_BYTES else needed
    if needed > available:
        needs = f"at least {needed / 2**30:,.1f} GiB of memory"
        raise InputError(f"{what}: {needs} are needed, but {available / 2**30:.1f} GiB are available")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak of the allocator on a GPU, or of the process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in text or "not enough memory" in text)


def out_of_memory_message(
    error: BaseException, images_per_pass: int | None, device: torch.device, size_that_fits: str | None = None
) -> str:
    """Return a message with peak and total memory. `size_that_fits`: description of the size that fits in memory.

    Without `size_that_fits`, the message suggests half of `images_per_pass`, the number of images per batch.
    """
    reason = first_line(error)
    peak, total = peak_memory_bytes(device), total_memory_bytes(device)
    text = f"out of memory: peak {peak / 2**30:.1f} GiB of {total / 2**30:.1f} GiB before the failed allocation"
    if size_that_fits:
        text += f"; {size_that_fits}"
    elif images_per_pass and images_per_pass > 1:
        text += f"; a batch of {images_per_pass} does not fit in memory; try {images_per_pass // 2} (recipe.batch_size)"
    return f"{text} ({reason})"


def total_memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keep_freed_memory() -> None:
    """Make the allocator keep freed memory for the next step instead of returning it to the system.

    By default, glibc maps each block of several megabytes separately and unmaps the block when it is freed, so each
    training step causes thousands of page faults. A forward and backward pass of FastGAN-SLIM at 128 px (32 base
    channels, batch 8) had 110,000 page faults by default. With this setting, the pass had 5,000 to 10,000 page faults,
    and peak memory grew by 3 to 15 %. Without this setting, the pass took 1.3 to 1.4 times the CPU time. The function
    has no effect without glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NO_TRIM)
