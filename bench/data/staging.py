"""Ensures that only one process at a time creates a folder, and removes temporary folders of killed processes.

Temporary folders are named .NAME.RANDOM.part, and contain a marker file until they are complete.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from bench.data.ownership import NAMES, own_prepared_files
from bench.errors import writing
from bench.files import TEMPORARY
from bench.runtime.locks import hold_lock

MARKER_FILE = ".slim-bench-temporary"
RANDOM = re.compile(r"[a-z0-9_]{8}")


def make_temporary(parent: Path, name: str) -> Path:
    """Create a temporary folder with the marker file in `parent`. The final name of the folder will be `name`."""
    with writing(parent / name):
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=parent))
        try:
            (folder / MARKER_FILE).touch()
        except OSError:
            folder.rmdir()
            raise
    return folder


def remove_marker(folder: Path) -> None:
    """Remove the marker file, because the content is complete and only the renaming remains."""
    (folder / MARKER_FILE).unlink()


@contextmanager
def creation_lock(folder: Path) -> Iterator[None]:
    """Hold the lock on the creation of `folder` during the block, after any other process has released the lock.

    Temporary folders of killed processes are removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f".{folder.name}.lock"
    with hold_lock(path, f"{folder}: waiting for another process to create it"):
        try:
            for parent in (folder.parent, folder):
                for temporary in parent.glob(f".{escape(folder.name)}.*"):
                    _remove_temporary_folder(temporary, temporary.name[len(folder.name) + 2 :])
            yield
        finally:
            with suppress(FileNotFoundError):
                if not path.stat().st_size:  # a file with content belongs to the user
                    path.unlink()


def _remove_temporary_folder(temporary: Path, ending: str) -> None:
    """Remove a temporary folder .NAME.RANDOM.part or .NAME.RANDOM.old if a preparation created it."""
    random, _, kind = ending.rpartition(".")
    if kind not in ("part", "old") or "." in random or temporary.is_symlink() or not temporary.is_dir():
        return
    if (temporary / MARKER_FILE).is_file() or not any(
        path.is_symlink() or path.is_file() for path in temporary.rglob("*")
    ):
        shutil.rmtree(temporary, ignore_errors=True)
    elif RANDOM.fullmatch(random):  # an earlier version did not write the marker file
        names = {path.name for path in temporary.iterdir()}
        if all(map(_is_staged, names)) if kind == "part" else names <= own_prepared_files(temporary):
            shutil.rmtree(temporary, ignore_errors=True)


def _is_staged(name: str) -> bool:
    match = TEMPORARY.fullmatch(name)
    return name in {*NAMES, ".unpacked"} or (match is not None and match["name"] in NAMES)
