"""Unpacking archives that strangers made: nothing lands outside the target, nothing unpacks without bound.

Refused: absolute names and `..`, links, devices, encrypted members, two members of one name, more members or bytes
than `Limits` allows (counted while unpacking: headers may lie).
"""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bench.data.staging import make_temporary, unmark
from bench.errors import InputError

CHUNK = 1 << 20
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    NotImplementedError,
)


@dataclass(frozen=True)
class Limits:
    """Most an archive may unpack to."""

    members: int = 200_000
    bytes: int = 16 << 30


@dataclass(frozen=True)
class Member:
    """A regular file of an archive; `open` gives its content."""

    name: str
    open: Callable[[], BinaryIO]


def extract_archive(archive: Path, target: Path, limits: Limits = Limits(), pattern: str = "*") -> None:
    """Unpack the members that match `pattern` into the new folder `target`, all of them or nothing."""
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise InputError(f"{target}: already there; {archive} is only unpacked into a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = make_temporary(target.parent, target.name)
    try:
        budget = Budget(archive, limits)
        with damage_named(archive):
            for member in read_members(archive):
                budget.count_member(member.name)
                if fnmatch(member.name, pattern):
                    path = partial / member.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    _write_member(member, path, budget)
        unmark(partial)
        partial.chmod(0o755)
        partial.rename(target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{archive}: two members claim one name ({Path(error.filename).name})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def damage_named(archive: Path) -> Iterator[None]:
    """Whatever the libraries say of a damaged archive becomes one line with its path."""
    try:
        yield
    except BROKEN as error:
        raise InputError(f"{archive}: damaged archive ({error})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{archive}: damaged archive ({error})") from None  # how bz2 says it


class Budget:
    """Counts what has been unpacked against the limits."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.members = self.bytes = 0

    def count_member(self, name: str) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise InputError(f"{self.archive}: more than {self.limits.members} members (stopped at {name})")

    def count_bytes(self, name: str, count: int) -> None:
        self.bytes += count
        if self.bytes > self.limits.bytes:
            raise InputError(f"{self.archive}: unpacks to more than {self.limits.bytes} bytes (stopped at {name})")


def _write_member(member: Member, path: Path, budget: Budget) -> None:
    with member.open() as source, path.open("xb") as file:
        while chunk := source.read(CHUNK):
            budget.count_bytes(member.name, len(chunk))
            file.write(chunk)


def read_members(archive: Path) -> Iterator[Member]:
    """The regular files of a tar (any compression) or zip, in archive order, with checked names."""
    archive = Path(archive)
    if not archive.is_file():
        raise InputError(f"{archive}: no such file")
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_members(archive)
    else:
        raise InputError(f"{archive}: neither a tar nor a zip archive")


def is_archive(path: Path) -> bool:
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            name = safe_name(path, info.name)
            if info.isdir():
                continue
            if not info.isreg():
                kind = "link" if info.issym() or info.islnk() else "device or pipe"
                raise InputError(f"{path}: member {info.name!r} is a {kind}, not a regular file")
            yield Member(name, lambda info=info: archive.extractfile(info))
        while archive.fileobj.read(CHUNK):  # to the end, where compressed streams keep their checksum
            pass


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = safe_name(path, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise InputError(
                    f"{path}: member {info.filename!r} is a link or device, only regular files are unpacked"
                )
            if info.flag_bits & 1:
                raise InputError(f"{path}: member {info.filename!r} is encrypted")
            yield Member(name, lambda info=info: archive.open(info))


def safe_name(archive: Path, name: str) -> str:
    """`name` as a relative POSIX path that stays inside the target; everything else is refused."""
    path = PurePosixPath(name)
    hostile = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name.split("/")[0]
    if hostile:
        raise InputError(f"{archive}: member {name!r} would be written outside the target folder")
    return str(path)
