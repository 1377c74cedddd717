"""Safe access to untrusted files on disk or in an archive. Sizes are limited, and errors name the damaged file."""

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bench.data.limits import data_bytes
from bench.errors import InputError
from bench.files import check_regular

CHUNK = 1 << 20
MAX_NAME_BYTES, MAX_DEPTH = 255, 100
ARCHIVE_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, OverflowError),
)
"""Exceptions that libraries raise for damaged files, in addition to ValueError and some OSErrors."""


@dataclass(frozen=True)
class StoredFile:
    """A regular file on disk or in an archive.

    Attributes:
        source: path of the file or its archive, for messages.
        data: size of the content in bytes, without the holes of a sparse file.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    source: str
    data: int

    @classmethod
    def from_path(cls, path: Path) -> "StoredFile":
        path = Path(path)
        check_regular(path)
        return cls(path.name, path.stat().st_size, lambda: path.open("rb"), str(path), data_bytes(path))

    def __str__(self) -> str:
        return self.source if Path(self.source).name == self.name else f"{self.source}: member {self.name!r}"

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in chunks. Raises InputError if the content is not as long as the header states."""
        left = self.size
        with convert_archive_errors(self.source), self.open() as file:
            while chunk := file.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        if left:
            raise InputError(f"{self}: its header declares {self.size} bytes, but its content has another size")


@contextmanager
def convert_archive_errors(archive: Path | str) -> Iterator[None]:
    """Convert library exceptions for a damaged archive to a one-line InputError with the archive's path."""
    try:
        yield
    except InputError:
        raise
    except (*ARCHIVE_ERRORS, ValueError, MemoryError) as error:
        raise InputError(
            f"{archive}: damaged archive ({' '.join(str(error).split()) or type(error).__name__})"
        ) from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # bz2 and gzip set no errno; a wrong offset causes EINVAL
            raise
        raise InputError(f"{archive}: damaged archive ({error.strerror or error})") from None


def check_member_name(archive: str, name: str) -> str:
    """Return `name` as a relative POSIX path inside the target. Raises InputError for other names."""
    path = PurePosixPath(name)
    hostile = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name.split("/")[0]
    if hostile:
        raise InputError(f"{archive}: member {name!r} would be written outside the target folder")
    if not path.parts:
        raise InputError(f"{archive}: a member has no name")
    if len(path.parts) > MAX_DEPTH or any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in path.parts):
        raise InputError(f"{archive}: the name of member {name[:50]!r}... is too long or has too many folders")
    return str(path)
