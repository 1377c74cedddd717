"""Small full file systems, and processes with a low limit on file sizes."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "filler.bin"
CAN_MOUNT = os.geteuid() == 0


@contextmanager
def mounted(folder: Path, options: str = "size=1m") -> Iterator[Path]:
    """Mount a tmpfs at `folder`. The test is skipped if mounting is not permitted, as in most containers."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not CAN_MOUNT or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> None:
    """Fill the file system of `folder` except for `leave` bytes."""
    with (folder / FILLER).open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        file.truncate(file.tell() - leave)


def free(folder: Path) -> None:
    (folder / FILLER).unlink()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make writes of this process beyond `size` bytes fail with EFBIG, like `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def files_in(folder: Path) -> set[str]:
    """Return all files in `folder` and its subfolders except the filler."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {FILLER}
