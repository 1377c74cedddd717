"""Extracts archives of class folders to a folder next to them, once for each version of the archives.

The folder has the name of the dataset. A marker file in the folder identifies the archives that the folder was
extracted from, so that a user's folder or the content of earlier archives is never used by mistake. No existing folder
is deleted.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bench.data.class_folders import unpacked_root
from bench.data.content import UNPACKED_MARKER, archives_sha256
from bench.data.extract import extract_archive, rename_in_errors
from bench.data.ilsvrc import unpack_imagenet
from bench.data.prepared import PreparationJob
from bench.data.staging import creation_lock, make_temporary
from bench.errors import InputError
from bench.files import write_json


@contextmanager
def source_folder(job: PreparationJob) -> Iterator[Path]:
    """Yield the folder with train/ and val/, which is the source itself or the extracted source archives.

    If there is only one archive, errors name the archive instead of the extracted folder.
    """
    if job.sources[0].is_dir():
        yield job.sources[0]
        return
    folder = _unpacked_folder(job)
    with rename_in_errors(folder, job.sources[0]) if len(job.sources) == 1 else nullcontext():
        yield unpacked_root(folder)


def _unpacked_folder(job: PreparationJob) -> Path:
    """Return the folder with the extracted archives, and extract them if no such folder exists.

    The folder has the name of the dataset. If a folder of that name has other content, the name of the new folder ends
    with eight digits of the archives' hash.
    """
    archive, content = job.sources[0], job.made_from.content_sha256
    plain = archive.parent / job.name
    for target in (plain, plain.with_name(f"{job.name}-{content[:8]}")):
        if archives_sha256(target) == content:
            return target
        if not os.path.lexists(target):
            with creation_lock(target):
                if archives_sha256(target) != content:  # not extracted by another process meanwhile
                    _unpack(job, target, content)
            return target
        known = archives_sha256(target) is not None
        origin = (
            f"was extracted from an earlier {archive.name}; you can delete it"
            if known
            else f"was not extracted from {archive.name}, and is kept"
        )
        print(f"{target}: {origin}", file=sys.stderr)
    raise InputError(f"{target}: exists, but was not extracted from {archive}; move it to another folder")


def _unpack(job: PreparationJob, target: Path, content: str) -> None:
    if job.dataset.layout == "imagenet":
        unpack_imagenet(*job.sources, target, content, job.max_unpacked_gb)
        return
    temporary = make_temporary(target.parent, target.name)
    try:
        extract_archive(job.sources[0], temporary / "files", job.max_unpacked_gb)
        write_json(temporary / "files" / UNPACKED_MARKER, {"content_sha256": content})
        (temporary / "files").rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
