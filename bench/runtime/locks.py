"""File locks, which the kernel releases when a process ends for any reason."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from bench.errors import InputError
from bench.files import check_regular

POLL_SECONDS = 0.5


def lock_file(path: Path) -> BaseFileLock | None:
    """Return a lock on `path`, which is held until `release()`, or None if another process holds the lock.

    The file is created if it does not exist. It is not removed, and its content never changes. Raises InputError if the
    path exists but is not a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    check_lockable(path)
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)  # a soft lock would remain after a kill
    try:
        lock.acquire(blocking=False)
    except Timeout:  # another process holds the lock, or removed the file while it was opened
        return None
    return lock


def check_lockable(path: Path) -> None:
    """Raise InputError if a folder, pipe, device or dangling link has the name of a lock file."""
    if os.path.lexists(path) and not path.is_file():
        raise InputError(f"{path}: is not a regular file, but a lock file must be written there; move it away")


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock on `path`. Writes nothing, because another user may own the file."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (InputError, OSError):  # the file is missing or cannot be opened
        return False
    return False


@contextmanager
def hold_lock(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock on `path` within the block. If another process holds it, print the line `waiting` and wait."""
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
