"""One process at a time makes a folder; what one that was killed left beside it goes first."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import IO

from bench.devices import lock_file

POLL_SECONDS = 0.5
TEMPORARY = ("part", "old")
"""Folders made beside NAME are called .NAME.RANDOM.part, or .old when they wait for their removal."""


@contextmanager
def only_maker(folder: Path) -> Iterator[None]:
    """Wait until no other process makes `folder`, remove what dead ones left, and be the only one in the block."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f".{folder.name}.lock"
    lock = _wait_for(path)
    try:
        for kind in TEMPORARY:
            for left in folder.parent.glob(f".{escape(folder.name)}.*.{kind}"):
                if "." not in left.name[len(folder.name) + 2 : -len(kind) - 1]:  # else of a folder called NAME.MORE
                    shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def _wait_for(path: Path) -> IO[str]:
    """The lock on the file that lies at `path` now: its former holder removed the one that was waited for."""
    while True:
        lock = lock_file(path)
        if lock is not None and _lies_at(lock, path):
            return lock
        if lock is not None:
            lock.close()
        else:
            time.sleep(POLL_SECONDS)


def _lies_at(lock: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
