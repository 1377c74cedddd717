"""Scores a folder of images against a reference folder, using the extractors and distances that score runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from bench.data.images import WHITE, Colour, print_notes, require_images
from bench.errors import InputError
from bench.evaluate.extractors import FID, add_curve, compare_features, open_extractors
from bench.evaluate.image_sets import ScoredArray, ScoredImages, alpha_part, is_array_file, source_of
from bench.evaluate.measurement import Clock, Measurement, failed_score
from bench.evaluate.pairs import pair_images, refuse_shared
from bench.evaluate.statistics_file import has_statistics, open_statistics, score_against_statistics
from bench.files import sha256_json
from bench.metrics.blocks import ImageBlock, in_blocks
from bench.metrics.catalogue import FOLDER_METRICS, METRICS
from bench.metrics.folder import batches_of, file_hashes, hash_files, read_batch, read_image
from bench.metrics.protocol import protocol_id
from bench.metrics.reference_statistics import save_statistics
from bench.metrics.ssim import WINDOW, ssim
from bench.metrics.weights import folder_metrics
from bench.runtime.device import choose_device
from bench.runtime.memory import peak_memory_bytes
from bench.runtime.progress import ProgressLine
from bench.score import Score

BATCH = 8
MAX_NEIGHBOUR_IMAGES = 20_000
SIMILARITY = "ssim_samples"
EXTRACTOR_METRICS = set(FOLDER_METRICS) - {SIMILARITY}


class ScoredFolder(ScoredImages):
    """Images of a folder, sorted by name and streamed."""

    def __init__(self, path: Path, background: Colour = WHITE):
        if Path(path).is_file():
            raise InputError(f"{path}: is a file; pass a folder with at least two images")
        self.images = require_images(path, at_least=2)
        self.path, self.background = self.images.folder, background
        self.notes = self.images.notes
        self.files = [header.path for header in self.images.headers]
        self.hashes = hashes = file_hashes(self.files)
        self.sha256 = hash_files(self.files, self.path, hashes)
        self._batches = in_blocks(batches_of(self.images.headers, BATCH))
        self.blocks = self._hashed(hashes)
        self.sizes = {(header.height, header.width) for header in self.images.headers}
        self.has_alpha = any(header.transparent for header in self.images.headers)

    def _hashed(self, hashes: list[bytes]) -> list[ImageBlock]:
        """Return the blocks, each with a hash of its files' names and contents, the batch sizes and the background."""
        blocks, start = [], 0
        for batches in self._batches:
            files = [header.path for batch in batches for header in batch]
            content = hash_files(files, self.path, hashes[start : start + len(files)])
            read = {"files": content, "batches": [len(batch) for batch in batches], "background": self.background}
            blocks.append(ImageBlock(len(files), sha256_json(read)))
            start += len(files)
        return blocks

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield the batches of the blocks `wanted`; see `bench.metrics.blocks.BlockedImages`."""
        for index in wanted:
            for batch in self._batches[index]:
                yield index, read_batch([header.path for header in batch], self.background)


def open_images(path: Path, background: Colour = WHITE, max_unpacked_gb: float | None = None) -> ScoredImages:
    """Open the images of a folder or an .npz file."""
    return ScoredArray(path, max_unpacked_gb) if is_array_file(path) else ScoredFolder(path, background)


def evaluate_folders(
    samples: Path,
    reference: Path,
    background: Colour = WHITE,
    *,
    metrics: tuple[str, ...] | None = None,
    statistics: Path | None = None,
    max_unpacked_gb: float | None = None,
) -> list[Score]:
    """Score the images in `samples` against the images in `reference`, each a folder or an .npz file.

    `background`: colour behind transparent pixels. This colour is part of the protocol ids if any image has an alpha
    channel. `metrics`: names from `FOLDER_METRICS`. A metric that cannot be computed from the images has a failed
    score. The default is all metrics that can be computed and whose weights are available. For large sets, the default
    omits all feature-based metrics except the Fréchet distances. `statistics`: output file for the mean and covariance
    of the reference's Inception features. `reference` can also be a file of statistics, which allows only
    `fid_cleanfid`.
    """
    samples, reference = Path(samples), Path(reference)
    device = choose_device("auto")
    if has_statistics(reference, max_unpacked_gb):
        if statistics is not None:
            raise InputError(f"{reference}: is a file of statistics; --save-statistics needs reference images")
        summary = open_statistics(reference, metrics)
        return score_against_statistics(open_images(samples, background, max_unpacked_gb), summary, device)
    fake, real = _open_pair(samples, reference, background, max_unpacked_gb)
    source = source_of(fake, real, device)
    wanted = set(_default_metrics(fake.n, real.n) if metrics is None else metrics)
    scores: list[Score] = []
    for extractor in open_extractors(wanted & EXTRACTOR_METRICS | ({FID} if statistics else set()), device):
        clock = Clock()
        known = real.features(extractor)
        if statistics is not None and extractor.metrics["frechet"] == FID:
            name = protocol_id(extractor.network.name, f"px{real.size}", *alpha_part(real), f"real{real.n}-all")
            save_statistics(statistics, known, name)
        if not wanted & set(extractor.metrics.values()):
            continue
        features = known, known if fake is real else fake.features(extractor)
        numbers, refused = compare_features(extractor, *features, wanted, _protocol(fake, real))
        numbers = [replace(add_curve(number, *features), seconds=clock.seconds) for number in numbers]
        source |= {"peak_memory_bytes": peak_memory_bytes(device)}
        scores += [number.score(**source) for number in numbers]
        scores += [failed_score(metric, reason, **source) for metric, reason in refused.items()]
    if SIMILARITY in wanted:
        number, reason = _similarity(fake, real)
        if number is not None:
            scores.append(number.score(**source))
        elif metrics is not None:
            scores.append(failed_score(SIMILARITY, reason, **source))
    return scores


def _open_pair(
    samples: Path, reference: Path, background: Colour, max_unpacked_gb: float | None
) -> tuple[ScoredImages, ScoredImages]:
    """Return both image sets, as one object if the paths are the same. Raises InputError if two folders share files."""
    if samples.exists() and reference.exists() and samples.samefile(reference):
        fake = real = open_images(reference, background, max_unpacked_gb)
        print_notes([f"{samples}: samples and reference are the same {real.kind}"])
    else:
        fake, real = (open_images(path, background, max_unpacked_gb) for path in (samples, reference))
        if isinstance(fake, ScoredFolder) and isinstance(real, ScoredFolder):
            refuse_shared(fake.images, real.images)
            if copies := sum(map(set(real.hashes).__contains__, fake.hashes)):
                print_notes([f"{samples}: {copies} of {fake.n} samples are copies of images in {reference}"])
    for images in (fake,) if fake is real else (fake, real):
        print_notes([f"{images.path}: {note}" for note in images.notes])
    return fake, real


def _default_metrics(*counts: int) -> tuple[str, ...]:
    metrics = folder_metrics(None)
    if max(counts) <= MAX_NEIGHBOUR_IMAGES:
        return metrics
    print_notes([f"more than {MAX_NEIGHBOUR_IMAGES:,} images: Fréchet distances only; --metrics selects others"])
    return tuple(name for name in metrics if METRICS[name].family in ("frechet", None))


def _protocol(fake: ScoredImages, real: ScoredImages) -> tuple[str, ...]:
    """Return the parts of the protocol ids that describe the two image sets."""
    sizes = (f"px{real.size}",) if real.size == fake.size else (f"real-px{real.size}", f"fake-px{fake.size}")
    return (*sizes, *alpha_part(fake, real), f"real{real.n}-all", f"fake{fake.n}-folder")


def _similarity(fake: ScoredImages, real: ScoredImages) -> tuple[Measurement | None, str]:
    """Return the mean SSIM of samples and reference images of the same name, or None and the reason."""
    if not (isinstance(fake, ScoredFolder) and isinstance(real, ScoredFolder)):
        return None, "SSIM pairs images by name, but images of an .npz file have no names"
    pairs, note = pair_images(fake.images, real.images)
    if note is not None:
        print_notes([f"{fake.path}: {note}"])
    if not pairs:
        return None, note or "some samples have no reference image of the same name and size"
    if min(map(min, fake.sizes)) < WINDOW:
        return None, f"SSIM needs images of at least {WINDOW} px"
    clock = Clock()
    read = partial(read_image, background=fake.background)
    progress = ProgressLine(f"{fake.name}, ssim", len(pairs), "pair", 0, speed=True)
    values = []
    for sample, match in pairs:
        values.append(ssim(read(sample.path)[None], read(match.path)[None]).item())
        progress.add(1)
    progress.close()
    number = Measurement(
        SIMILARITY,
        float(np.mean(values)),
        ("gauss11-sigma1.5-population-range1-rgb", *alpha_part(fake, real), "pairs-by-name"),
        n=len(values),
        seconds=clock.seconds,
        standard_error=float(np.std(values, ddof=1) / len(values) ** 0.5),
    )
    return number, ""
