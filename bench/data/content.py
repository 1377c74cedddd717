"""Content hashes of a dataset's source, recorded in its receipt. They decide whether to prepare the dataset again.

Sizes and modification times only avoid rehashing unchanged files. Published datasets with class folders may contain a
million files, so names and byte sizes represent their content, as in the hash of the prepared dataset. Archives, shards
and the user's own images are hashed completely.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.catalogue import Catalogue, Dataset, Folder
from bench.data.limits import refuse_holes
from bench.data.walk import Listing, walk
from bench.files import read_mapping, sha256_file, sha256_json

LISTED = ("imagefolder", "imagenet")
"""Layouts whose images are listed by name and size instead of read."""

UNREAD = sha256_json([])
"""Content of a folder with ImageNet: its files are counted and listed when it is prepared, not before."""

MARK = ".slim-bench-unpacked.json"
"""In a folder that archives were unpacked into: {"content_sha256": of the archives}."""

FileRecord = dict[str, Any]
"""Of one file: name, bytes, mtime_ns, ctime_ns, sha256."""


def describe_place(place: Path, dataset: Dataset, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The receipt's fields `content_sha256` and, unless the files are only listed, `members` of a folder or file.

    `known`: an earlier receipt, whose hashes hold for the files with unchanged size and times.
    """
    if dataset.layout == "imagenet":
        return {"content_sha256": unpacked_content(place) or UNREAD}
    listing = walk(place) if place.is_dir() else Listing(place.parent, [place.name])
    named = {  # a receipt holds text: bytes of a name that are not UTF-8 are escaped
        os.fsencode(name).decode("utf-8", "backslashreplace"): listing.folder / name for name in listing.names
    }
    listed = dataset.layout in LISTED and place.is_dir() and not isinstance(dataset.source, Folder)
    read = {name: path for name, path in named.items() if not listed or path.suffix == ".tar"}
    before = {record["name"]: record for record in (known or {}).get("members", ())}
    members = [describe_file(path, name, before.get(name)) for name, path in read.items()]
    content = content_sha256(members)
    if listed:
        sizes = [[name, path.stat().st_size] for name, path in named.items() if name not in read]
        content = sha256_json([sizes, content])
    if listing.faults:  # so that the preparation runs again, and refuses them
        content = sha256_json([content, *map(str, listing.faults)])
    return {"content_sha256": content, "members": members}


def describe_file(path: Path, name: str, known: FileRecord | None = None) -> FileRecord:
    """Name, size, times and sha256 of a file; the hash is that of `known` while size and times agree."""
    now = file_stamp(path, name)
    refuse_holes(path, now["bytes"])
    return known if is_untouched(known, now) else now | {"sha256": sha256_file(path)}


def file_stamp(path: Path, name: str) -> FileRecord:
    """The fields of a record that need no reading."""
    status = path.stat()
    return {"name": name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def is_untouched(known: FileRecord | None, now: FileRecord) -> bool:
    """Whether the hash in `known` still holds for a file of stamp `now`."""
    return known is not None and all(known.get(key) == value for key, value in now.items())


def content_sha256(files: list[FileRecord]) -> str:
    """One hash for the names and contents of the files of a dataset."""
    return sha256_json([[file["name"], file["sha256"]] for file in files])


def unpacked_content(folder: Path) -> str | None:
    """The content of the archives that `folder` was unpacked from; None of a folder that we did not unpack."""
    return read_mapping(folder / MARK).get("content_sha256")


def entry_sha256(catalogue: Catalogue, name: str, root: Path = Path(".")) -> str:
    """Hash of what fetching depends on: the source in the catalogue, accepted checksums, the DVC pointers."""
    source = catalogue.dataset(name).source
    pins = {file.name: catalogue.pins[file.name] for file in source.files if file.name in catalogue.pins}
    pointers = [root / file.pointer for file in source.files]
    tracked = [sha256_file(path) for path in pointers if path.is_file()]
    return sha256_json([source.model_dump(mode="json"), pins, tracked])


def preparation_sha256(dataset: Dataset) -> str:
    """Hash of all in a catalogue entry that the prepared arrays depend on, the source's content apart."""
    parts = {"preparation", "layout", "task", "n", "n_test", "classes", "class_names"}
    return sha256_json(dataset.model_dump(mode="json", include=parts))
