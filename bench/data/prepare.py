"""Prepares the folder that training and metrics read. It contains arrays or lists of files, and manifest.json.

Images are decoded, composited onto a background, cropped or resized with antialiasing, and stored as uint8. Small
classification datasets (28 or 32 px) are zero-padded and never resized. ImageNet-like datasets are indexed, not copied.
The files get their final names only when all are complete. The content hash depends only on pixels, labels and order.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.data.arrays import prepare_arrays
from bench.data.catalogue import Catalogue, Dataset, Folders, load_catalogue, prepared_path
from bench.data.classes import prepare_files
from bench.data.content import preparation_sha256
from bench.data.extract import extract_archive, is_archive, rename_in_errors
from bench.data.fetch import source_content, source_files
from bench.data.fit import check_image_size, check_one_shot, check_size, fit_image, target_size
from bench.data.images import Header, ImageFiles, print_notes, require_images
from bench.data.install import refuse_overlap, staged_content
from bench.data.manifest import MadeFrom, Manifest, write_manifest
from bench.data.npy import array_by_row
from bench.data.ownership import IMAGES, LISTS, SPLIT_ARRAYS
from bench.data.parquet import extract_images, is_parquet
from bench.data.prepared import PreparationJob, check_expected, describe_arrays
from bench.data.present import installed_path, present_source
from bench.data.selection import selected_names
from bench.data.sources import SOURCES
from bench.errors import InputError


def prepare(
    name: str,
    image_size: int | None,
    out: Path | None = None,
    root: Path = Path("."),
    *,
    folders: Folders | None = None,
    max_unpacked_gb: float | None = None,
) -> Manifest:
    """Prepare dataset `name` at `image_size` (None: original sizes) in `out` (default: data/prepared).

    `max_unpacked_gb` is the largest accepted unpacked size of an archive; None selects the limit of bench.data.limits.
    """
    root = Path(root)
    catalogue = load_catalogue(root, folders)
    dataset = catalogue.dataset(name)
    sources = source_paths(name, root, catalogue)
    default = root / prepared_path(name, image_size)
    out = Path(out) if out else default
    refuse_overlap(out, sources)
    made_from = MadeFrom(
        content_sha256=source_content(name, root, catalogue), preparation_sha256=preparation_sha256(dataset)
    )
    job = PreparationJob(
        name, dataset, image_size, sources, catalogue.source_sha256(name), made_from, out, max_unpacked_gb, root
    )
    return _prepare(job, is_default=out.resolve() == default.resolve())


def source_paths(name: str, root: Path, catalogue: Catalogue) -> list[Path]:
    """Return the verified files of a dataset, or the folder that the user installed or passed."""
    dataset = catalogue.dataset(name)
    path = installed_path(root, dataset)
    if path is not None:
        return [path]
    manual = dataset.manual
    if manual is not None and present_source(root, dataset, {}) is None:
        remedy = manual.how if len(dataset.sources) == 1 else f"run `slim-bench fetch {name}`"
        raise InputError(f"{name}: {root / SOURCES / manual.place} is missing: {remedy}")
    return source_files(name, root, catalogue)


def _prepare(job: PreparationJob, is_default: bool) -> Manifest:
    preparers: dict[str, tuple[Callable[[PreparationJob, Path], Manifest], tuple[str, ...]]] = {
        "images": (prepare_images, IMAGES),
        "idx": (prepare_arrays, SPLIT_ARRAYS),
        "cifar": (prepare_arrays, SPLIT_ARRAYS),
        "npz": (prepare_arrays, SPLIT_ARRAYS),
        "imagefolder": (prepare_files, LISTS),
        "imagenet": (prepare_files, LISTS),
    }
    check_image_size(job.name, job.image_size)
    prepare_layout, names = preparers[job.dataset.layout]
    with staged_content(job.out, names, is_default) as staging:
        manifest = prepare_layout(job, staging)
        write_manifest(staging, manifest)
    return manifest


def prepare_images(job: PreparationJob, staging: Path) -> Manifest:
    """Prepare a few-shot or one-shot dataset as one array of RGB images, sorted by name."""
    with image_files(job, staging) as found:
        headers = found.headers
        _check_one_image(job, headers)
        check_expected(job, "images", len(headers), 1 if job.dataset.task == "oneshot" else job.dataset.n)
        for header in headers:
            check_size(header, job.image_size, job.dataset.preparation)
        common = os.path.commonpath([header.path.parent for header in headers])
        names = tuple(header.path.relative_to(common).as_posix() for header in headers)
        size = _common_size(job, headers)
        shape = (len(headers), size[1], size[0], 3)
        path = staging / "images.npy"
        with array_by_row(path, shape, np.dtype(np.uint8)) as write:

            def add(index: int) -> None:
                write(index, fit_image(headers[index].path, size, job.dataset.preparation))

            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                try:
                    for _ in pool.map(add, range(len(headers))):
                        pass
                finally:
                    pool.shutdown(cancel_futures=True)
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return describe_arrays(job, kind="images", arrays={"images.npy": array}, names=names)


def _check_one_image(job: PreparationJob, headers: list[Header]) -> None:
    if job.dataset.task == "oneshot" and job.dataset.folder is not None and len(headers) > 1:
        raise InputError(
            f"{job.sources[0]}: contains {len(headers)} images, but one-shot synthesis uses one; set the task, "
            f"folders={{{job.name}: {{path: {job.sources[0]}, task: fewshot}}}} (or classification)"
        )


def _common_size(job: PreparationJob, headers: list[Header]) -> tuple[int, int]:
    """Return the (width, height) that all prepared images have. Raises InputError if their sizes differ."""
    size = target_size(headers[0], job.image_size, job.dataset.preparation.fit)
    for header in headers:
        if target_size(header, job.image_size, job.dataset.preparation.fit) != size:
            first = headers[0]
            raise InputError(
                f"{header.path}: has {header.width}x{header.height} pixels, but {first.path.name} has"
                f" {first.width}x{first.height}; set an image size"
            )
    if job.dataset.task == "oneshot":
        check_one_shot(headers[0], size)
    return size


@contextmanager
def image_files(job: PreparationJob, staging: Path) -> Iterator[ImageFiles]:
    """Yield the images of the source, which is a folder, an archive or parquet files (extracted), or one image file."""
    with opened_source(job.sources, staging / ".unpacked", job.max_unpacked_gb) as path:
        found = require_images(
            path, job.dataset.preparation.members, keep=selected_names(job.dataset.preparation, job.root)
        )
        print_notes([*found.notes, *folder_notes(found, job.dataset)])
        yield found


@contextmanager
def opened_source(sources: Sequence[Path], folder: Path, max_unpacked_gb: float | None = None) -> Iterator[Path]:
    """Yield the folder or image file of a source.

    Packed files are extracted to `folder`, which is deleted after the block.
    """
    first = sources[0]
    if first.is_dir() or not (is_parquet(first) or is_archive(first)):
        yield first
        return
    try:
        if is_parquet(first):
            extract_images(sources, folder, max_unpacked_gb)
        elif len(sources) == 1:
            extract_archive(first, folder, max_unpacked_gb)
        else:
            for index, source in enumerate(sources):
                extract_archive(source, folder / f"{index:03d}", max_unpacked_gb)
        with rename_in_errors(folder, first):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def folder_notes(found: ImageFiles, dataset: Dataset) -> list[str]:
    """Return a note if a user's few-shot images are in several subfolders, which may be intended as classes."""
    folders = sorted({header.path.parent.relative_to(found.folder).as_posix() for header in found.headers})
    if dataset.task != "fewshot" or dataset.folder is None or len(folders) < 2:
        return []
    shown = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return [
        f"images of {len(folders)} folders ({shown}) are used together, without labels; for classification, pass the "
        "folder that has train/ and val/, with a folder per class in each"
    ]
