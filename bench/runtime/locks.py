"""Locks on files, which the kernel gives back when a process dies, however it dies."""

import fcntl
from pathlib import Path
from typing import IO


def lock_file(path: Path) -> IO[str] | None:
    """An open file that holds the lock on `path` until it is closed; None while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
