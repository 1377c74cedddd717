"""Writes arrays as a prepared dataset, for tests and benchmarks that do not start from an archive."""

from pathlib import Path

import numpy as np

from bench.data.manifest import Manifest, Split, write_manifest
from bench.data.prepared import content_hash


def write_prepared(
    folder: Path, task: str, arrays: dict[str, np.ndarray], name: str, classes: tuple[str, ...] | None = None
) -> str:
    """Write `arrays` (file name -> array, images first) and their manifest. Return the sha256 of the content."""
    folder.mkdir(parents=True)
    for file, array in arrays.items():
        np.save(folder / file, array)
    first, labelled = next(iter(arrays.values())), task == "classification"
    splits = {split: Split(n=len(arrays[f"{split}_labels.npy"])) for split in ("train", "test")} if labelled else None
    manifest = Manifest(
        name=name,
        title=name,
        task=task,
        kind="classification" if labelled else "images",
        n=len(first),
        image_size=first.shape[1],
        channels=first.shape[3],
        sha256=content_hash(arrays),
        preparation={},
        licence="none",
        classes=classes,
        splits=splits,
        arrays={file: array.shape for file, array in arrays.items()},
    )
    write_manifest(folder, manifest)
    return manifest.sha256
