"""Errors that end a command, one-line messages for operating-system errors, and suggestions for mistyped names."""

import difflib
import errno
import os
import re
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """Error in the user's input, described in one line with file and key. Commands print it and exit with code 2."""


class RunFailedError(RuntimeError):
    """Failure of a run, such as NaN after three rollbacks.

    `train` records the failure with status `failed` and exits with code 0. Other commands exit with code 1.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


RERUN_HINT = "then run the same command again"
TEMPORARY_FOLDER = re.compile(r"\..+\.part|slim-bench-[a-z]+-[a-z0-9_]{8}|\.unpacked")
WRITE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Error numbers that only writes raise."""
REMEDIES = {
    errno.ENOSPC: f"free space, {RERUN_HINT}",
    errno.EDQUOT: f"free space or request a larger quota, {RERUN_HINT}",
    errno.EFBIG: f"raise the limit (ulimit -f), {RERUN_HINT}",
    errno.EROFS: "choose a folder that is writable",
    errno.EACCES: "change its permissions, or give another path",
    errno.EISDIR: "move this folder away, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.EMFILE: f"raise the limit (ulimit -n), {RERUN_HINT}",
    errno.ENFILE: f"close other programs, {RERUN_HINT}",
    errno.EIO: f"check the disk, {RERUN_HINT}",
}


@contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Convert an OSError of a write in the block to an InputError that names `path`.

    An error that names another file, which the block may have read, is not converted. `needed` is the number of bytes
    to write, if known.
    """
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and not isinstance(error, PermissionError)  # sockets raise EPERM too
        if error.errno in WRITE_ERRNOS or (error.errno in REMEDIES and unnamed):
            raise storage_error(error, path, needed) from error
        raise


def find_write_error(error: BaseException | None) -> OSError | None:
    """Return the OSError of a failed write that caused `error`, or None if `error` has another cause."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in WRITE_ERRNOS:
            return error
        error = error.__cause__ or error.__context__
    return None


def storage_error(error: OSError, path: Path | str | None = None, needed: int | None = None) -> InputError:
    """Return an InputError that describes an OSError and its remedy in one line.

    The message names the path or, if the disk is full, the folder and its free space.
    """
    named = path if path is not None else error.filename2 or error.filename
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    remedy = REMEDIES.get(error.errno or 0)
    after = f"; {remedy}" if remedy else ""
    if named is None or isinstance(named, int):
        return InputError(f"{reason}{after}")
    file = Path(os.fsdecode(named))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = existing_parent(file)
        facts = [f"{readable_size(needed)} needed"] if needed is not None else []
        facts += _free(folder) if error.errno == errno.ENOSPC else []
        details = f" ({', '.join(facts)})" if facts else ""
        if str(folder) == os.environ.get("TMPDIR", "/tmp"):
            after += "; or set TMPDIR to another folder"
        return InputError(f"{_with_target(folder)}: {reason} for {file.name}{details}{after}")
    limits = {errno.EFBIG: resource.RLIMIT_FSIZE, errno.EMFILE: resource.RLIMIT_NOFILE}
    limit = resource.getrlimit(limits[error.errno])[0] if error.errno in limits else resource.RLIM_INFINITY
    if limit != resource.RLIM_INFINITY:
        reason += f" (the limit is {readable_size(limit) if error.errno == errno.EFBIG else limit})"
    return InputError(f"{file}: {reason}{after}")


def readable_size(count: int) -> str:
    """Return a number of bytes with a unit, such as `12.3 kB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def existing_parent(path: Path) -> Path:
    """Return the nearest existing parent of `path` that is not temporary. This folder is on the full file system."""
    around = [folder for folder in path.parents if not TEMPORARY_FOLDER.fullmatch(folder.name)]
    return next((folder for folder in around if folder.is_dir()), path.parent)


def _with_target(folder: Path) -> str:
    """Return the path of a folder, followed by its target if it is a link, because the target is on the full disk."""
    real = os.path.realpath(folder)
    return str(folder) if real == os.path.abspath(folder) else f"{folder} ({real})"


def _free(folder: Path) -> list[str]:
    try:
        system = os.statvfs(folder)
    except OSError:
        return []
    if system.f_files and not system.f_favail:
        return ["no inodes free: delete files"]
    return [f"{readable_size(system.f_bavail * system.f_frsize)} free"]


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest valid name, or the list of valid names."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (valid: {', '.join(valid)})" if valid else ""
