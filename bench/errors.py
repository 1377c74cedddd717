"""The two errors that end a command, a refusal of the system as one line, and the hint for a mistyped name."""

import difflib
import errno
import os
import re
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """An input error of the user: one line with file and key. The command line prints it and exits with code 2."""


class RunFailedError(RuntimeError):
    """A failure of a run, such as NaN after three rollbacks: recorded as status failed, with exit code 0."""


AGAIN = "then run the same command again"
TEMPORARY_FOLDER = re.compile(r"\..+\.part|slim-bench-[a-z]+-[a-z0-9_]{8}|\.unpacked")
NO_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""What only a write is told."""
REMEDIES = {
    errno.ENOSPC: f"free space, {AGAIN}",
    errno.EDQUOT: f"free space or have the quota raised, {AGAIN}",
    errno.EFBIG: f"raise the limit (ulimit -f), {AGAIN}",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "change its permissions, or name another path",
    errno.EPERM: "change its permissions, or name another path",
    errno.EMFILE: f"raise the limit (ulimit -n), {AGAIN}",
    errno.ENFILE: f"close other programs, {AGAIN}",
    errno.EIO: f"check the disk, {AGAIN}",
}


@contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Raise an InputError about `path` where the system refuses a write in the block; `needed`: its bytes, if known.

    An error that names another file, which the block may have read, passes as it is.
    """
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and not isinstance(error, PermissionError)  # a network says EPERM too
        if error.errno in NO_WRITING or (error.errno in REMEDIES and unnamed):
            raise storage_error(error, path, needed) from error
        raise


def refused_write(error: BaseException | None) -> OSError | None:
    """The refusal of a write that caused `error`, or None if it has another cause."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_WRITING:
            return error
        error = error.__cause__ or error.__context__
    return None


def storage_error(error: OSError, path: Path | str | None = None, needed: int | None = None) -> InputError:
    """One line for what the system refused: the path, or the folder that is full and its free space; the remedy."""
    named = path if path is not None else error.filename2 or error.filename
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    remedy = REMEDIES.get(error.errno or 0)
    after = f"; {remedy}" if remedy else ""
    if named is None or isinstance(named, int):
        return InputError(f"{reason}{after}")
    place = Path(os.fsdecode(named))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = lasting_folder(place)
        facts = [f"{readable_size(needed)} needed"] if needed is not None else []
        facts += _free(folder) if error.errno == errno.ENOSPC else []
        details = f" ({', '.join(facts)})" if facts else ""
        if str(folder) == os.environ.get("TMPDIR", "/tmp"):
            after += "; or set TMPDIR to another folder"
        return InputError(f"{_told(folder)}: {reason} for {place.name}{details}{after}")
    limits = {errno.EFBIG: resource.RLIMIT_FSIZE, errno.EMFILE: resource.RLIMIT_NOFILE}
    limit = resource.getrlimit(limits[error.errno])[0] if error.errno in limits else resource.RLIM_INFINITY
    if limit != resource.RLIM_INFINITY:
        reason += f" (the limit is {readable_size(limit) if error.errno == errno.EFBIG else limit})"
    return InputError(f"{place}: {reason}{after}")


def readable_size(count: int) -> str:
    """Bytes as one reads them: `12.3 kB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def lasting_folder(path: Path) -> Path:
    """The nearest folder around `path` that exists and stays: its file system is the one that is full."""
    around = [folder for folder in path.parents if not TEMPORARY_FOLDER.fullmatch(folder.name)]
    return next((folder for folder in around if folder.is_dir()), path.parent)


def _told(folder: Path) -> str:
    """A folder that is reached through a link is named by its place too, since that is on the full file system."""
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
    """` (did you mean 'x'?)` for the nearest valid name, or the list of valid names."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (valid: {', '.join(valid)})" if valid else ""
