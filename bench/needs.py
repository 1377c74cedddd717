"""Data that runs need: datasets and pretrained weights, their state on this machine, and their bytes.

Sizes are those of the catalogue. A size that it does not state is None, and is never estimated. This module does not
import torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.config import Configuration
from bench.data.catalogue import Dataset, Weights
from bench.data.fetch import present_source
from bench.data.manifest import MANIFEST
from bench.data.receipts import read_receipt
from bench.data.sources import SOURCES, DataSettings, Dvc, Hub, Manual, Mirror, download_bytes, in_order, is_pinned
from bench.data.weights import find_weights_file
from bench.metrics.catalogue import LPIPS_WEIGHTS, METRICS
from bench.run import FewShotRecipe, OneShotRecipe, Run
from bench.workload import Images, image_size_of, images_of

PRESENT, FETCHABLE = "present", "fetchable"
TOKEN, FIRST_USE, MANUAL = "needs a token", "needs data.trust_first_use", "to install manually"
PERCEPTUAL_WEIGHTS: dict[str, tuple[str, ...]] = {"lpips-vgg16": LPIPS_WEIGHTS}


@dataclass(frozen=True)
class Need:
    """One dataset or weights file. `download` and `disk`: bytes still to download and to write; None if not known."""

    name: str
    kind: str
    state: str
    download: int | None
    disk: int | None


def needs_of(runs: Sequence[Run], configuration: Configuration, root: Path = Path(".")) -> list[Need]:
    """Return the datasets and weights that `runs` need, with shared files counted once."""
    catalogue, data = configuration.catalogue, configuration.settings.data
    found, seen = [], set[Path]()
    for name in dict.fromkeys(run.dataset for run in runs):
        dataset = catalogue.dataset(name)
        paths = {run.data.path: run for run in runs if run.dataset == name}
        missing = [run for path, run in paths.items() if not (root / path / MANIFEST).is_file()]
        written = _sum(prepared_bytes(run, images_of(run, dataset)) for run in missing)
        if not missing or _is_present(name, dataset, root):
            found.append(Need(name, "dataset", PRESENT, 0, written))
        else:
            found.append(_dataset_need(name, dataset, data, root, written, seen))
    for name in weights_of(runs):
        found.append(_weights_need(name, catalogue.find_weights(name), root))
    return found


def weights_of(runs: Iterable[Run]) -> list[str]:
    """Return the names of the weights that the training and scoring of `runs` need."""
    names = set()
    for run in runs:
        names |= {name for metric in run.evaluation.metrics for name in METRICS[metric].weights}
        names |= set(PERCEPTUAL_WEIGHTS.get(run.recipe.perceptual, ()) if isinstance(run.recipe, FewShotRecipe) else ())
    return sorted(names)


def prepared_bytes(run: Run, images: Images) -> int | None:
    """Return the size of the prepared arrays of a run, or None if the number of images is not known.

    Class folders are listed and not copied. The size of a one-shot image is that of its finest pyramid scale at least.
    """
    if images.files:
        return 0
    if isinstance(run.recipe, OneShotRecipe):
        return images.channels * image_size_of(run) ** 2
    if images.train is None:
        return None
    return (images.train + (images.test or 0)) * images.channels * image_size_of(run) ** 2


def _is_present(name: str, dataset: Dataset, root: Path) -> bool:
    """Return whether the source of a dataset is on this machine, without verifying it."""
    place = None if dataset.manual is None else root / SOURCES / dataset.manual.place
    placed = place is not None and place.exists()
    return dataset.folder is not None or placed or present_source(root, dataset, read_receipt(name, root)) is not None


def _dataset_need(
    name: str, dataset: Dataset, data: DataSettings, root: Path, written: int | None, seen: set[Path]
) -> Need:
    source = _first_source(dataset, data, root)
    if source is None:
        unpinned = any(not is_pinned(listed) for listed in dataset.sources)
        return Need(name, "dataset", FIRST_USE if unpinned else MANUAL, None, written)
    state = TOKEN if isinstance(source, Hub) and source.gated else FETCHABLE
    size = 0 if {file.local for file in source.files} <= seen else download_bytes(source)
    seen |= {file.local for file in source.files}
    return Need(name, "dataset", state, size, _sum([size, written]))


def _first_source(dataset: Dataset, data: DataSettings, root: Path) -> Hub | Dvc | Mirror | None:
    """Return the first source that `fetch` tries, or None if each one needs the user.

    A folder `data.mirror` may lack the files, so it does not count before `fetch` has read it.
    """
    for source in in_order(dataset.sources, data, root):
        allowed = is_pinned(source) or data.trust_first_use
        if allowed and not isinstance(source, Manual | Mirror):
            return source
    return None


def _weights_need(name: str, entry: Weights, root: Path) -> Need:
    if find_weights_file(entry, root) is not None:
        return Need(name, "weights", PRESENT, 0, 0)
    state = FETCHABLE if entry.url or entry.shipped else MANUAL
    return Need(name, "weights", state, entry.bytes, entry.bytes)


def _sum(sizes: Iterable[int | None]) -> int | None:
    """Return the sum of sizes, or None if one is not known."""
    known = list(sizes)
    return None if None in known else sum(size or 0 for size in known)
