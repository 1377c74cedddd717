"""One process at a time makes a folder; what one that was killed left behind is removed first.

Temporary folders are called .NAME.RANDOM.part and hold a mark until they are complete.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO

from bench.data.ownership import NAMES, own_prepared_files
from bench.files import TEMPORARY
from bench.runtime.locks import lock_file

POLL_SECONDS = 0.5
MARK = ".slim-bench-temporary"
RANDOM = re.compile(r"[a-z0-9_]{8}")


def make_temporary(parent: Path, name: str) -> Path:
    """A new folder in `parent` for what is to be called `name`, marked as ours."""
    folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=parent))
    (folder / MARK).touch()
    return folder


def unmark(folder: Path) -> None:
    """The content is complete: what is left is to give it its name."""
    (folder / MARK).unlink()


@contextmanager
def only_maker(folder: Path) -> Iterator[None]:
    """Wait until no other process makes `folder`, remove what dead ones left, and be the only one in the block."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f".{folder.name}.lock"
    lock = _wait_for(path)
    try:
        for parent in (folder.parent, folder):
            for left in parent.glob(f".{escape(folder.name)}.*"):
                _remove_left(left, left.name[len(folder.name) + 2 :])
        yield
    finally:
        with suppress(FileNotFoundError):
            if not path.stat().st_size:  # else a file of somebody who calls it so
                path.unlink()
        lock.close()


def _remove_left(left: Path, ending: str) -> None:
    """Remove a folder called RANDOM.part or RANDOM.old after its dot and name, if its content is ours alone."""
    random, _, kind = ending.rpartition(".")
    if kind not in ("part", "old") or "." in random or left.is_symlink() or not left.is_dir():
        return
    if (left / MARK).is_file() or not any(path.is_symlink() or path.is_file() for path in left.rglob("*")):
        shutil.rmtree(left, ignore_errors=True)
    elif RANDOM.fullmatch(random):  # of a version that made no mark
        names = {path.name for path in left.iterdir()}
        if all(map(_is_staged, names)) if kind == "part" else names <= own_prepared_files(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_staged(name: str) -> bool:
    match = TEMPORARY.fullmatch(name)
    return name in {*NAMES, ".unpacked"} or (match is not None and match["name"] in NAMES)


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
