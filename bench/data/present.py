"""Finds the existing files of a dataset, which were downloaded to data/sources or installed by the user."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.catalogue import Dataset
from bench.data.content import archives_sha256
from bench.data.sources import SOURCES, Folder
from bench.data.walk import walk
from bench.errors import InputError


def existing_path(root: Path, source: Folder) -> Path:
    path = root / Path(source.path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return path


def present_source(root: Path, dataset: Dataset, known: Mapping[str, Any]) -> Any:
    """Return a source whose files are all in data/sources, or None. The source in the receipt `known` is preferred."""
    complete = [
        source
        for source in dataset.sources
        if source.files and all((root / file.local).is_file() for file in source.files)
    ]
    recorded = {entry["name"] for entry in known.get("files", ())}
    return next(
        (source for source in complete if {file.name for file in source.files} == recorded), (complete or [None])[0]
    )


def installed_path(root: Path, dataset: Dataset) -> Path | None:
    """Return the folder or file that the user installed or configured, or None if the files of the catalogue are used.

    A folder that was extracted from these files is used only if the files no longer exist, because the files may have
    been replaced after the extraction. A folder of several datasets is used only if it contains a file of this dataset.
    """
    if dataset.folder is not None:
        return existing_path(root, dataset.folder)
    manual = dataset.manual
    if manual is None:
        return None
    folder, files = root / SOURCES / manual.place, [root / file.local for file in manual.files]
    has_archives = bool(files) and all(path.is_file() for path in files)
    if not folder.exists() or (has_archives and archives_sha256(folder)):
        return None
    pattern = dataset.preparation.members
    shared = folder.is_dir() and (pattern != "*" or len(dataset.sources) > 1)
    return None if shared and not walk(folder, pattern).names else folder
