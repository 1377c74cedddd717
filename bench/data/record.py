"""Records with DVC which bytes of each dataset are used. Every file, folder and list has a pointer in data/sources.

- A file gets the pointer FILE.dvc, and its content is added to the DVC cache (bench.data.dvc_cache).
- The images of a folder that the user installed are packed into the archive NAME-installed.tar, because many files slow
  DVC down. `dvc pull` copies the archive to another machine, where `fetch` uses it in place of the folder.
- ImageNet is never copied. Its record is a list, NAME-files.tsv with the size and name of each file of a folder, or
  NAME-archives.tsv with the size, md5 and name of each archive.

The first record of a source without a published checksum pins the content, so that `fetch` rejects other content later.
"""

import errno
import hashlib
import io
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from bench.data.content import content_sha256
from bench.data.dvc import allow_without_git, run_dvc
from bench.data.dvc_cache import open_cache
from bench.data.pointers import Pointer, pointer_of, pointer_path, write_pointer
from bench.data.sources import (
    SOURCES,
    Download,
    Dvc,
    Hub,
    Mirror,
    Packed,
    Raw,
    Shipped,
    SourceFile,
    label,
    list_name,
    packed_file,
)
from bench.errors import InputError, storage_error
from bench.files import atomic_file, md5_bytes, md5_file, sha256_bytes, write_bytes
from bench.terminal import one_line

INSTALLED = "installed manually"
"""Source of a file or folder that slim-bench did not download."""


@dataclass(frozen=True)
class Origin:
    """Information in a pointer about a file, in addition to the file's hash.

    Attributes:
        is_new: whether slim-bench has just written the file, which may then become a link to the DVC cache.
        replaces: whether a record of other content is replaced; if false, such a record is an error.
        completes: whether files that were recorded earlier are added to the DVC cache if they are missing there.
        content_sha256: hash of the images in an archive of an installed folder.
    """

    title: str
    licence: str
    source: str
    is_new: bool = False
    replaces: bool = False
    completes: bool = False
    content_sha256: str | None = None

    def pointer(self, hashes: Mapping[str, Any]) -> Pointer:
        meta = {"source": self.source, "sha256": hashes["sha256"], "licence": self.licence}
        meta |= {} if self.content_sha256 is None else {"content_sha256": self.content_sha256}
        return Pointer(hashes["md5"], hashes["bytes"], self.title, meta)


def source_text(source: Any, file: SourceFile) -> str:
    """Return the source of a file as text, such as its URL, its place on the Hugging Face Hub, or INSTALLED."""
    if isinstance(source, Hub):
        kind = "datasets/" if source.repo_type == "dataset" else ""
        return f"hf://{kind}{source.repo}@{source.revision}/{file.path}"
    if isinstance(source, Raw | Download):
        return file.url or INSTALLED
    if isinstance(source, Dvc | Shipped) and not isinstance(source, Packed):
        return label(source)
    if isinstance(source, Mirror):
        return "folder data.mirror"
    return INSTALLED


def record_file(root: Path, path: Path, hashes: Mapping[str, Any], origin: Origin) -> None:
    """Add a file to the DVC cache and write its pointer, unless its pointer already has the md5 in `hashes`.

    `hashes`: `bytes`, `md5` and `sha256` of the file, which the caller has compared with the catalogue and the pointer.
    The pointer is written last, so that the next call completes an interrupted record.
    """
    known = pointer_of(path)
    is_known = known is not None and known.md5 == hashes["md5"]
    if known is not None and not is_known and not known.is_ours:
        run_dvc(root, "commit", "--force", _relative(root, path))  # a pointer of `dvc import-url`
    elif not is_known or origin.is_new or origin.completes:
        own = origin.is_new or (is_known and known is not None and known.meta.get("source", INSTALLED) != INSTALLED)
        is_added = _add_to_cache(root, path, hashes, own=own)
        if not is_known:
            write_pointer(path, origin.pointer(hashes))
        if not is_added:
            _report(root, path, lambda: run_dvc(root, "commit", "--force", _relative(root, path)))


def _add_to_cache(root: Path, path: Path, hashes: Mapping[str, Any], *, own: bool) -> bool:
    """Add a file to the DVC cache. Return False if DVC itself has to add it."""
    cache = open_cache(root)
    if cache is None or cache.contains(hashes["md5"], hashes["bytes"]):
        return True
    allow_without_git(root)
    return _report(root, path, lambda: cache.add(path, hashes["md5"], own=own)) is not False


def _report(root: Path, path: Path, add: Callable[[], Any]) -> Any:
    """Call `add` and return its result. A failure only prints a message, because the file itself can be used."""
    try:
        return add()
    except (InputError, OSError) as error:
        reason = error if isinstance(error, InputError) else storage_error(error)
        print(
            f"{path.name}: not added to the DVC cache, so `dvc push` does not upload it: {one_line(reason)}; "
            f"`dvc commit {_relative(root, path)}` adds it",
            file=sys.stderr,
            flush=True,
        )
        return None


def _missing_pointer(path: Path) -> InputError:
    return InputError(f"{path}: exists, but {pointer_path(path).name} is missing; restore it, or move the file away")


def _relative(root: Path, path: Path) -> str:
    return pointer_path(path).relative_to(root).as_posix()


# ---- folders that the user installed ---------------------------------------------------------------------------------


def record_folder(root: Path, name: str, folder: Path, members: list[dict[str, Any]], origin: Origin) -> None:
    """Pack the images of an installed folder into an archive, and record it.

    `members`: name, bytes and sha256 of each image. Raises InputError if the archive was recorded from other images,
    unless `origin.replaces` is true.
    """
    path, names = root / packed_file(name).local, [member["name"] for member in members]
    new = replace(origin, is_new=True, content_sha256=content_sha256(members))
    known = pointer_of(path)
    is_known = known is not None and known.meta.get("content_sha256") == new.content_sha256
    if is_known and not (origin.completes and not path.exists()):
        return
    if known is not None and not is_known and not origin.replaces:
        raise InputError(
            f"{name}: the images in {folder} differ from those recorded in {pointer_path(path)}; restore them, or run "
            f"`slim-bench data pin {name} --replace` to use the new images"
        )
    if known is None and path.exists():
        with open(os.devnull, "wb") as nowhere:
            hashes = _pack(folder, names, nowhere)
        if md5_file(path) != hashes["md5"]:  # else a killed process has written the archive, but not the pointer
            raise _missing_pointer(path)
    else:
        needed, free = sum(member["bytes"] for member in members), shutil.disk_usage(path.parent).free
        if needed > free:
            raise storage_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), path, needed)
        with atomic_file(path) as file:
            hashes = _pack(folder, names, file)
    record_file(root, path, hashes, new)


class _Hashing(io.RawIOBase):
    """Writable stream that computes size, md5 and sha256 of the data written to it."""

    def __init__(self, file: IO[bytes]):
        self.file, self.md5, self.sha256, self.size = file, hashlib.md5(), hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.file.write(data)
        self.md5.update(data)
        self.sha256.update(data)
        self.size += len(data)
        return len(data)


def _pack(folder: Path, names: Iterable[str], file: IO[bytes]) -> dict[str, Any]:
    """Write an uncompressed tar archive without times, owners and modes. Return its size and hashes."""
    stream = _Hashing(file)
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(names):
            with (folder / name).open("rb") as content:
                info = tarfile.TarInfo(name)
                info.size = os.fstat(content.fileno()).st_size
                archive.addfile(info, content)
    return {"bytes": stream.size, "md5": stream.md5.hexdigest(), "sha256": stream.sha256.hexdigest()}


# ---- lists of ImageNet -----------------------------------------------------------------------------------------------


def list_bytes(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Return the content of a list, with one line per row."""
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode("utf-8", "backslashreplace")


def record_list(root: Path, name: str, kind: str, rows: Iterable[tuple[Any, ...]], origin: Origin) -> None:
    """Record a list of files, NAME-KIND.tsv, in place of the files themselves.

    Raises InputError if another list was recorded, unless `origin.replaces` is true.
    """
    path, data = root / SOURCES / list_name(name, kind), list_bytes(rows)
    hashes = {"bytes": len(data), "md5": md5_bytes(data), "sha256": sha256_bytes(data)}
    known = pointer_of(path)
    if known is not None and known.md5 != hashes["md5"] and not origin.replaces:
        raise InputError(
            f"{name}: its {data.count(10)} files differ from those recorded in {pointer_path(path)}; restore them, or "
            f"run `slim-bench data pin {name} --replace` to use the new files"
        )
    if known is None and path.exists() and path.read_bytes() != data:
        raise _missing_pointer(path)
    is_new = known is None or known.md5 != hashes["md5"]
    if is_new or not path.exists():
        write_bytes(path, data)
    record_file(root, path, hashes, replace(origin, is_new=is_new))
