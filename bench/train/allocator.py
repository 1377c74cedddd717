"""Keeps what a step frees for the next one, instead of handing it back to the system and fetching it anew.

glibc maps every block of some megabytes by itself and unmaps it when it is freed, so that each step of a training pays
for thousands of page faults on memory that it had a moment before. Elsewhere than on Linux with glibc nothing is done.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
