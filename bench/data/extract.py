"""Safe extraction of untrusted archives. No file is written outside the target, and the size is limited.

The functions reject absolute names and `..`, names that are empty or too long, links, devices, encrypted members,
members with the same name, zip directories and headers that are inconsistent with their archive, and more members or
bytes than bench.data.limits allows.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from bench.data.limits import Budget, Limits
from bench.data.staging import make_temporary, remove_marker
from bench.data.stored import ARCHIVE_ERRORS, StoredFile
from bench.data.tar_files import open_tar, tar_members
from bench.data.zip_files import zip_members
from bench.errors import InputError, writing


def extract_archive(
    archive: Path | StoredFile, target: Path, max_unpacked_gb: float | None = None, pattern: str = "*"
) -> None:
    """Extract the members that match `pattern` to the new folder `target`, which is not created after an error."""
    target = Path(target)
    if target.exists():
        raise InputError(f"{target}: already exists; {archive} is only extracted to a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = make_temporary(target.parent, target.name)
    try:
        with writing(target.parent / Path(archive.source if isinstance(archive, StoredFile) else archive).name):
            for member in read_members(archive, max_unpacked_gb, target=target.parent):
                if fnmatch(member.name, pattern):
                    path = partial / member.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("xb") as file:
                        file.writelines(member.chunks())
        remove_marker(partial)
        partial.chmod(0o755)
        partial.rename(target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{archive}: two members have the same name ({Path(error.filename).name!r})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def rename_in_errors(folder: Path, archive: Path) -> Iterator[None]:
    """In the errors of the block, replace the path of an extracted file in `folder` by the archive and the member."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(f"{folder}/", f"{archive}: ").replace(str(folder), str(archive))) from None


def read_members(
    archive: Path | StoredFile, max_unpacked_gb: float | None = None, target: Path | None = None
) -> Iterator[StoredFile]:
    """Yield the regular files of a tar (any compression) or zip, in archive order, with checked names.

    Sizes are added up before the first member is yielded, or member by member for a compressed tar. The members must
    fit in the free space of the folder `target`.
    """
    archive = archive if isinstance(archive, StoredFile) else StoredFile.from_path(archive)
    budget = Budget(str(archive), Limits.of(archive.data, max_unpacked_gb), target)
    with archive.open() as file:
        start = file.read(4)
    reader = zip_members if start.startswith(b"PK") else tar_members
    yield from reader(archive, budget)


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or tar. The result is also true for a damaged archive."""
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            return True
        try:
            return open_tar(file) is not None
        except (*ARCHIVE_ERRORS, OSError, ValueError):
            return True
