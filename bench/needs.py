"""Datasets and pretrained weights that runs need, with their state on this machine and their sizes in bytes.

Sizes are read from the catalogue. A size that is not in the catalogue is None, and is never estimated. This module does
not import torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.config import Configuration
from bench.data.catalogue import Weights
from bench.data.fetch_job import FetchJob
from bench.data.manifest import MANIFEST
from bench.data.states import FETCHABLE, HERE, MANUAL, dataset_state
from bench.data.weights import find_weights_file
from bench.errors import readable_size
from bench.metrics.catalogue import LPIPS_WEIGHTS, METRICS
from bench.run import FewShotRecipe, OneShotRecipe, Run
from bench.workload import Images, image_size_of, images_of

PERCEPTUAL_WEIGHTS: dict[str, tuple[str, ...]] = {"lpips-vgg16": LPIPS_WEIGHTS}
Files = tuple[tuple[str, int | None], ...]
"""Names of files and their sizes in bytes, or None for an unknown size."""


@dataclass(frozen=True)
class Need:
    """One dataset or weights file.

    Attributes:
        state: one of the states in bench.data.states.
        files: files that are not on this machine. Several datasets may share a file.
        prepared: bytes of the arrays that are still to be prepared; None if the number of images is unknown.
    """

    name: str
    kind: Literal["dataset", "weights"]
    state: str
    files: Files = ()
    prepared: int | None = 0


def needs_of(runs: Sequence[Run], configuration: Configuration, root: Path = Path(".")) -> list[Need]:
    """Return the datasets and weights that `runs` need."""
    by_dataset: dict[str, dict[str, Run]] = {}
    for run in runs:
        by_dataset.setdefault(run.dataset, {})[run.data.path] = run
    datasets = [_dataset_need(name, list(paths.values()), configuration, root) for name, paths in by_dataset.items()]
    weights = [_weights_need(name, configuration.catalogue.find_weights(name), root) for name in weights_of(runs)]
    return [*datasets, *weights]


def to_download(needs: Iterable[Need]) -> str:
    """Return the bytes to download as text, with each file counted once, and the number of files of unknown size."""
    return _text(dict(pair for need in needs for pair in need.files).values())


def to_write(needs: Sequence[Need]) -> str:
    """Return the bytes of files to download and arrays to prepare as text."""
    files = dict(pair for need in needs for pair in need.files)
    return _text([*files.values(), *(need.prepared for need in needs)])


def _text(sizes: Iterable[int | None]) -> str:
    known = list(sizes)
    unknown = known.count(None)
    return readable_size(sum(size or 0 for size in known)) + (f" and {unknown} of unknown size" if unknown else "")


def weights_of(runs: Iterable[Run]) -> list[str]:
    """Return the names of the weights that the training and scoring of `runs` need."""
    names = set()
    for run in runs:
        names |= {name for metric in run.evaluation.metrics for name in METRICS[metric].weights}
        names |= set(PERCEPTUAL_WEIGHTS.get(run.recipe.perceptual, ()) if isinstance(run.recipe, FewShotRecipe) else ())
    return sorted(names)


def prepared_bytes(run: Run, images: Images) -> int | None:
    """Return the size in bytes of the prepared arrays of a run, or None if the number of images is not known.

    The size of class folders is 0, because their images are listed and not copied. For a one-shot image, the size of
    its finest pyramid scale is returned, although the image may be larger.
    """
    if images.files:
        return 0
    if isinstance(run.recipe, OneShotRecipe):
        return images.channels * image_size_of(run) ** 2
    if images.train is None:
        return None
    return (images.train + (images.test or 0)) * images.channels * image_size_of(run) ** 2


def _dataset_need(name: str, runs: Sequence[Run], configuration: Configuration, root: Path) -> Need:
    """Return the `Need` of one dataset. `runs` contains one run for each size in which the dataset is prepared."""
    catalogue, settings = configuration.catalogue, configuration.settings.data
    dataset = catalogue.dataset(name)
    missing = [run for run in runs if not (root / run.data.path / MANIFEST).is_file()]
    sizes = [prepared_bytes(run, images_of(run, dataset)) for run in missing]
    prepared = None if None in sizes else sum(size or 0 for size in sizes)
    state = dataset_state(FetchJob(root, catalogue, name, dataset, settings=settings))
    if not missing or state.state == HERE:
        return Need(name, "dataset", HERE, prepared=prepared)
    return Need(name, "dataset", state.state, state.files or ((name, None),), prepared)


def _weights_need(name: str, entry: Weights, root: Path) -> Need:
    if find_weights_file(entry, root) is not None:
        return Need(name, "weights", HERE)
    state = FETCHABLE if entry.url or entry.shipped else MANUAL
    return Need(name, "weights", state, files=((entry.file, entry.bytes),))
