"""Locks on files, which the kernel gives back when a process dies, however it dies."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

POLL_SECONDS = 0.5


def lock_file(path: Path) -> BaseFileLock | None:
    """The lock on `path`, held until its `release()`; None while another process holds it.

    The file is made where it does not exist; its content is never touched, and it is not removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)  # a soft lock would outlive a killed process
    try:
        lock.acquire(blocking=False)
    except Timeout:  # held, or removed by its last holder while it was opened
        return None
    return lock


@contextmanager
def only_one(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock on `path` in the block; while another process has it, wait, and say so by the line `waiting`."""
    lock = lock_file(path)
    if lock is None:
        print(waiting, file=sys.stderr, flush=True)
    while lock is None:
        time.sleep(POLL_SECONDS)
        lock = lock_file(path)
    try:
        yield
    finally:
        lock.release()
