"""Reads prepared datasets as tensors. Array files are memory-mapped and copied to contiguous tensors."""

from pathlib import Path
from typing import Literal

import torch

from bench.data.manifest import MANIFEST, Manifest, Split, open_array, read_manifest
from bench.data.prepared import content_hash
from bench.errors import InputError

__all__ = ["check_content", "load_file_list", "load_images", "load_split", "read_manifest"]

MAX_HASHED_BYTES = 2**28
"""Maximum size in bytes of arrays that are hashed before training and evaluation. Hashing takes up to two seconds."""

SplitName = Literal["train", "test"]


def load_images(folder: Path) -> torch.Tensor:
    """Load the images of a few-shot or one-shot dataset, uint8 [N, 3, H, W]."""
    manifest = _read_kind(folder, "images")
    return _planes(folder, manifest, "images.npy")


def load_split(folder: Path, split: SplitName) -> tuple[torch.Tensor, torch.Tensor]:
    """Load the images, uint8 [N, C, H, W], and labels, int64 [N], of one split."""
    manifest = _read_kind(folder, "classification")
    _split(folder, manifest, split)
    labels = torch.from_numpy(open_array(folder, manifest, f"{split}_labels.npy").copy())
    return _planes(folder, manifest, f"{split}_images.npy"), labels


def load_file_list(folder: Path, split: SplitName) -> tuple[list[Path], list[int]]:
    """Return the paths and labels of the images of a split, or the paths and numbers of samples of its shards."""
    manifest = _read_kind(folder, "folder")
    entry = _split(folder, manifest, split)
    base = Path(manifest.root) / entry.path
    if not base.is_dir():
        raise InputError(
            f"{base}: the files of {manifest.name} are missing; restore them, or prepare the dataset again"
        )
    rows = [line.split("\t") for line in (Path(folder) / entry.files).read_text(encoding="utf-8").splitlines()]
    return [base / path for path, _ in rows], [int(number) for _, number in rows]


def check_content(folder: Path, manifest: Manifest) -> None:
    """Raise InputError if the arrays do not match the manifest's hash.

    Arrays above MAX_HASHED_BYTES are not checked.
    """
    arrays = {file: open_array(folder, manifest, file) for file in manifest.arrays}
    if not 0 < sum(array.nbytes for array in arrays.values()) <= MAX_HASHED_BYTES:
        return
    found = content_hash(arrays)
    if found != manifest.sha256:
        raise InputError(
            f"{folder}: sha256 of the arrays is {found}, but {MANIFEST} records {manifest.sha256}; the "
            "arrays have been modified; delete the folder and prepare it again"
        )


def _read_kind(folder: Path, kind: str) -> Manifest:
    manifest = read_manifest(folder)
    if manifest.kind != kind:
        raise InputError(f"{folder}: contains a dataset of kind {manifest.kind!r}, expected {kind!r}")
    return manifest


def _split(folder: Path, manifest: Manifest, split: str) -> Split:
    if split not in (manifest.splits or {}):
        raise InputError(f"{folder}: no split {split!r} (it has {', '.join(manifest.splits or {}) or 'none'})")
    return manifest.splits[split]


def _planes(folder: Path, manifest: Manifest, file: str) -> torch.Tensor:
    """Load an array [N, H, W, C] as a contiguous tensor [N, C, H, W]."""
    return torch.from_numpy(open_array(folder, manifest, file).transpose(0, 3, 1, 2).copy())
