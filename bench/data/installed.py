"""Records the folders and archives that the user installed, and detects later changes.

bench.data.record describes the records.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.content import FileRecord, archives_sha256, content_sha256
from bench.data.fetch_job import FetchJob, hashes_of
from bench.data.pointers import pointer_of, pointer_path
from bench.data.record import (
    INSTALLED,
    list_bytes,
    record_file,
    record_folder,
    record_list,
)
from bench.data.selection import selected_names
from bench.data.sources import ARCHIVES, FILES, SOURCES, list_name, packed_file
from bench.data.walk import walk
from bench.files import md5_bytes


def record_installed(job: FetchJob, installed: Path, described: Mapping[str, Any]) -> None:
    """Record a folder or file that the user installed. `described`: the content of the receipt.

    Raises InputError if the folder or file differs from an earlier record, unless `job.replaces` is true.
    """
    origin = job.origin_from(INSTALLED)
    if job.dataset.layout == "imagenet":
        if archives_sha256(installed) is None:
            record_list(job.root, job.name, FILES, _rows(installed), origin)
    elif installed.is_file():
        record_file(job.root, installed, hashes_of(installed) | {"bytes": installed.stat().st_size}, origin)
    else:
        members = used_members(job, installed, described)
        if members:
            record_folder(job.root, job.name, installed, members, origin)


def record_archives(job: FetchJob, entries: list[FileRecord]) -> None:
    """Record the archives of ImageNet, which are not copied. `entries`: their entries in the receipt."""
    origin = job.origin_from(INSTALLED)
    record_list(job.root, job.name, ARCHIVES, _archive_rows(entries), origin)


def used_members(job: FetchJob, installed: Path, described: Mapping[str, Any]) -> list[FileRecord]:
    """Return the records of the images in `installed` that the dataset uses, or [] if the folder has problems.

    A folder may contain the images of several datasets, and each dataset has its own record.
    """
    listing = walk(installed, job.dataset.preparation.members)
    names = set(selected_names(job.dataset.preparation, job.root)(listing.names))
    return [] if listing.problems else [member for member in described.get("members", ()) if member["name"] in names]


def installed_problem(job: FetchJob, installed: Path, described: Mapping[str, Any]) -> str | None:
    """Return how an installed folder or file differs from its record, or None.

    Raises InputError if the record is damaged.
    """
    if job.dataset.layout == "imagenet":
        if archives_sha256(installed) is not None:
            return None
        path = job.root / SOURCES / list_name(job.name, FILES)
        return _difference(path, "md5", md5_bytes(list_bytes(_rows(installed))), f"the files in {installed}")
    if installed.is_file():
        return _difference(installed, "md5", hashes_of(installed)["md5"], str(installed))
    members = used_members(job, installed, described)
    path = job.root / packed_file(job.name).local
    return _difference(path, "content_sha256", content_sha256(members), f"the images in {installed}")


def archives_problem(job: FetchJob, entries: list[FileRecord]) -> str | None:
    """Return how the archives of ImageNet differ from their record, or None."""
    path = job.root / SOURCES / list_name(job.name, ARCHIVES)
    return _difference(path, "md5", md5_bytes(list_bytes(_archive_rows(entries))), "its archives")


def _difference(path: Path, key: str, found: str, subject: str) -> str | None:
    known = pointer_of(path)
    if known is None:
        return f"{subject}: not recorded in {pointer_path(path)} yet"
    recorded = known.md5 if key == "md5" else known.meta.get(key)
    return None if recorded == found else f"{subject}: differ from the record in {pointer_path(path)}"


def _rows(installed: Path) -> list[tuple[int, str]]:
    """Return the size and name of every file of a folder."""
    listing = walk(installed)
    return [(os.stat(f"{installed}/{name}").st_size, name) for name in listing.names]  # fast for a million files


def _archive_rows(entries: list[FileRecord]) -> list[tuple[Any, ...]]:
    return [(entry["bytes"], entry["md5"], entry["name"]) for entry in entries]
