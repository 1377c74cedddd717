"""Content hashes of datasets' sources. A receipt records the hash, and a changed hash causes a new preparation.

Sizes and modification times are used only to avoid rehashing unchanged files. Published datasets with class folders may
contain a million files, so their content is represented by names and byte sizes, as in the hash of the prepared
dataset. Archives, shards and the user's own images are hashed completely.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.catalogue import Catalogue, Dataset
from bench.data.limits import refuse_sparse_file
from bench.data.pointers import pointer_of
from bench.data.sources import SOURCES, Packed, record_names
from bench.data.walk import Listing, walk
from bench.files import read_mapping, sha256_file, sha256_json

UNREAD_LAYOUTS = ("imagefolder", "imagenet")
"""Layouts whose images are listed by name and size instead of being read."""

UNREAD_CONTENT = sha256_json([])
"""Constant in place of the content hash of an ImageNet folder, because `prepare` only lists the files of the folder."""

UNPACKED_MARKER = ".slim-bench-unpacked.json"
"""Marker file in a folder of extracted archives: {"content_sha256": hash of the archives}."""

FileRecord = dict[str, Any]
"""Record of one file: name, bytes, mtime_ns, ctime_ns, sha256."""


def describe_installed(source: Path, dataset: Dataset, recorded: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the fields `content_sha256` and `members` of a receipt for a folder or file. ImageNet has no `members`.

    `recorded`: an earlier receipt, whose hashes remain valid for files with unchanged size and times.
    """
    if dataset.layout == "imagenet":
        return {"content_sha256": archives_sha256(source) or UNREAD_CONTENT}
    first = dataset.preparation.first
    listing = Listing(source.parent, [source.name])
    if source.is_dir():
        listing = walk(source) if first is None else walk(source, dataset.preparation.members)
        listing.names = listing.names[:first]
    path_by_name = {  # a receipt is UTF-8 text, so other bytes in names are escaped
        os.fsencode(name).decode("utf-8", "backslashreplace"): listing.folder / name for name in listing.names
    }
    listed = dataset.layout in UNREAD_LAYOUTS and source.is_dir() and dataset.folder is None
    read = {name: path for name, path in path_by_name.items() if not listed or path.suffix == ".tar"}
    before = {record["name"]: record for record in (recorded or {}).get("members", ())}
    members = [describe_file(path, name, before.get(name)) for name, path in read.items()]
    content = content_sha256(members)
    if listed:
        sizes = [[name, path.stat().st_size] for name, path in path_by_name.items() if name not in read]
        content = sha256_json([sizes, content])
    if listing.problems:  # problems change the hash, so that the preparation runs again and reports them
        content = sha256_json([content, *map(str, listing.problems)])
    return {"content_sha256": content, "members": members}


def describe_file(path: Path, name: str, recorded: FileRecord | None = None) -> FileRecord:
    """Return name, size, times and sha256 of a file. The recorded hash is reused if size and times are unchanged."""
    stamp = file_stamp(path, name)
    refuse_sparse_file(path, stamp["bytes"])
    return recorded if is_unchanged(recorded, stamp) else stamp | {"sha256": sha256_file(path)}


def file_stamp(path: Path, name: str) -> FileRecord:
    """Return the fields of a record that do not require reading the file."""
    status = path.stat()
    return {"name": name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def is_unchanged(recorded: FileRecord | None, stamp: FileRecord) -> bool:
    """Return whether the hash in `recorded` is still valid for a file with the size and times in `stamp`."""
    return recorded is not None and all(recorded.get(key) == value for key, value in stamp.items())


def content_sha256(files: list[FileRecord]) -> str:
    """Return one hash for the names and contents of all files of a dataset."""
    return sha256_json([[file["name"], file["sha256"]] for file in files])


def archives_sha256(folder: Path) -> str | None:
    """Return the content hash of the archives extracted to `folder`, or None for any other folder."""
    return read_mapping(folder / UNPACKED_MARKER).get("content_sha256")


def entry_sha256(catalogue: Catalogue, name: str, root: Path = Path(".")) -> str:
    """Return the hash of the inputs of `fetch`: the sources in the catalogue and the hashes in the DVC pointers."""
    sources = [source for source in catalogue.dataset(name).sources if not isinstance(source, Packed)]
    names = [file.name for source in sources for file in source.files]
    pointers = {file: pointer_of(root / SOURCES / file) for file in (*names, *record_names(name))}
    recorded = {file: pointer.md5 for file, pointer in pointers.items() if pointer is not None}
    return sha256_json([[source.model_dump(mode="json") for source in sources], recorded])


def preparation_sha256(dataset: Dataset) -> str:
    """Return the hash of everything in a catalogue entry that affects the arrays, except the source's content."""
    parts = {"preparation", "layout", "task", "n", "n_test", "classes", "class_names"}
    described = dataset.model_dump(mode="json", include=parts)
    for key in ("first", "names"):  # newer keys are omitted if unset, so that earlier hashes remain valid
        if described["preparation"][key] is None:
            del described["preparation"][key]
    return sha256_json(described)
