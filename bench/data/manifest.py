"""Content and origin of a prepared dataset, in manifest.json. This module does not import torch."""

import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.errors import InputError
from bench.files import read_json, write_json
from bench.schema import Positive, Strict, Task, parse_strict

if TYPE_CHECKING:
    import numpy as np

MANIFEST = "manifest.json"
NPY_ERRORS = (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError, tokenize.TokenError)
"""Exceptions that NumPy raises for a damaged or malicious header of an .npy file."""


class Split(Strict):
    """One split of a classification dataset.

    `files` is the name of a list in the prepared folder, with one image per line: relative path, tab, label.
    """

    n: Positive
    path: str | None = Field(None, description="for kind folder: path of the split or its shards, relative to `root`")
    files: str | None = None


class MadeFrom(Strict):
    """Hashes of the inputs of a prepared dataset, which is up to date if they match the current inputs.

    See bench.data.content.
    """

    content_sha256: str
    preparation_sha256: str


class Manifest(Strict):
    """Content and origin of a prepared dataset. It is written last, so a folder with a manifest is complete."""

    name: str
    title: str
    task: Task
    kind: Literal["images", "classification", "folder"]
    n: Positive = Field(description="number of images, or of training images if there are splits")
    image_size: Positive | None
    channels: Literal[1, 3]
    sha256: str = Field(description="hash of shapes, pixels, labels and order; for kind folder: names, sizes, labels")
    source_sha256: str | None = None
    made_from: MadeFrom | None = Field(None, description="null: written by an earlier version, or not by `prepare`")
    preparation: dict[str, Any]
    licence: str
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    splits: dict[str, Split] | None = None
    format: Literal["imagefolder", "webdataset"] | None = None
    root: str | None = Field(None, description="for kind folder: absolute path of the files")
    arrays: dict[str, tuple[int, ...]] = Field({}, description="shape of each array file")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(Path(folder) / MANIFEST, manifest.model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder, and check that its arrays exist with the recorded shapes."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: not a prepared dataset (no {MANIFEST}); create one with `slim-bench prepare`")
    try:
        manifest = parse_strict(Manifest, read_json(folder / MANIFEST), folder / MANIFEST)
    except InputError as error:
        raise InputError(f"{error}; delete this file and prepare the data again") from None
    for file in manifest.arrays:
        open_array(folder, manifest, file)
    return manifest


def open_array(folder: Path, manifest: Manifest, file: str) -> "np.ndarray":
    """Open one array of the folder, memory-mapped read-only, and check its shape against the manifest."""
    import numpy as np  # commands that only list or plan need not load NumPy

    path = Path(folder) / file
    if not path.is_file():  # opening a pipe would block
        raise InputError(f"{path}: missing; {folder} is damaged, delete the folder and prepare it again")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, *NPY_ERRORS) as error:
        raise InputError(f"{path}: damaged ({error}); delete the folder and prepare it again") from None
    if array.shape != manifest.arrays[file]:
        raise InputError(f"{path}: shape {array.shape}, but {MANIFEST} records {manifest.arrays[file]}")
    return array
