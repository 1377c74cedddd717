"""Obtains the files of one source, which is the Hugging Face Hub, a URL, a DVC remote or a mirror folder.

A file is renamed to its final name only after its checksum is verified. `UnavailableError` means that another source
may work.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.connection import UnavailableError
from bench.data.copies import copy_verified
from bench.data.download import download
from bench.data.dvc import run_dvc
from bench.data.hub import download_from_hub
from bench.data.received import content_problem
from bench.data.sources import (
    SHIPPED,
    SOURCES,
    DataSettings,
    Download,
    Dvc,
    Hub,
    Mirror,
    Packed,
    Raw,
    Shipped,
    SourceFile,
)
from bench.errors import InputError


@dataclass(frozen=True)
class FileRequest:
    """One file to obtain, with the checksums that it must have. `md5` may be from the file's DVC pointer."""

    root: Path
    file: SourceFile
    sha256: str | None
    md5: str | None

    @property
    def path(self) -> Path:
        return self.root / self.file.local

    @property
    def checks(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "md5": self.md5, "size": self.file.bytes}


def obtain(source: Any, request: FileRequest, settings: DataSettings) -> None:
    """Obtain one file of `source`, or raise UnavailableError with the reason and the remedy in one line."""
    getters: dict[type, Callable[[], None]] = {
        Hub: lambda: download_from_hub(source, request.file, request.path, **request.checks),
        Raw: lambda: download(request.file.url or "", request.path, **request.checks),
        Download: lambda: download(request.file.url or "", request.path, **request.checks),
        Dvc: lambda: _pull(request, source.remote),
        Packed: lambda: _pull(request, source.remote),
        Shipped: lambda: _pull(request, SHIPPED),
        Mirror: lambda: _from_mirror(request, settings, is_linked=source.place is not None),
    }
    getters[type(source)]()


def _pull(request: FileRequest, remote: str | None) -> None:
    options = () if remote is None else ("--remote", remote)
    remote_name = "data/shipped" if remote == SHIPPED else "the DVC remote"
    try:
        run_dvc(request.root, "pull", *options, request.file.pointer.as_posix())
    except InputError as error:
        raise UnavailableError(f"{error}; check that {remote_name} has this file, unmodified") from error
    if not request.path.is_file():
        raise UnavailableError(f"{request.path}: missing after `dvc pull`; check that {remote_name} is complete")


def mirror_folder(settings: DataSettings, root: Path) -> Path:
    """Return the folder `data.mirror`. A relative path is relative to the project root."""
    if settings.mirror is None:
        raise UnavailableError("data.mirror: not set; set it to a folder with copies of the files")
    folder = root / Path(settings.mirror).expanduser()
    if not folder.is_dir():
        raise UnavailableError(f"data.mirror: {folder}: no such folder; create or mount it, or remove the setting")
    return folder


def _from_mirror(request: FileRequest, settings: DataSettings, is_linked: bool) -> None:
    """Copy a file from the mirror folder, and verify it while copying.

    `is_linked`: link the verified file instead of copying it, because archives that users install, such as ImageNet,
    are very large.
    """
    original = mirror_folder(settings, request.root) / request.file.name
    if not original.is_file():
        raise UnavailableError(f"{original}: no such file in the mirror; copy it there, or remove data.mirror")
    if not is_linked:
        copy_verified(original, request.path, request.sha256, request.md5, request.file.bytes)
        return
    problem = content_problem(original, request.sha256, request.md5, request.file.bytes)
    if problem:
        raise UnavailableError(f"{original}: {problem}; replace this file")
    if not os.path.lexists(request.path):
        request.path.parent.mkdir(parents=True, exist_ok=True)
        request.path.symlink_to(original.resolve())


def link_place(source: Mirror, root: Path, settings: DataSettings) -> None:
    """If the mirror has the folder `place`, link this folder into data/sources without copying it."""
    original = mirror_folder(settings, root) / (source.place or "")
    target = root / SOURCES / (source.place or "")
    if source.place is not None and original.is_dir() and not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(original.resolve())
