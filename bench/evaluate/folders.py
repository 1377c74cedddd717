"""Scores a folder of images against a reference folder, with the same extractors and distances as runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.images import WHITE, Colour, print_notes, usable_images
from bench.errors import InputError
from bench.evaluate.extractors import MetricExtractor, compare_features, open_extractors, with_curve
from bench.evaluate.measurement import Clock, Measurement, failed_score
from bench.evaluate.pairs import pair_images, refuse_shared
from bench.files import sha256_json
from bench.metrics.blocks import ImageBlock, blocked_features, in_blocks
from bench.metrics.catalogue import FOLDER_METRICS, METRICS
from bench.metrics.folder import batches_of, file_hashes, hash_files, read_batch, read_image
from bench.metrics.ssim import WINDOW, ssim
from bench.metrics.weights import folder_metrics
from bench.provenance import provenance
from bench.runtime.device import choose_device, device_name
from bench.runtime.memory import peak_memory_bytes
from bench.score import Score
from bench.terminal import one_line

BATCH = 8
MOST_FOR_NEIGHBOURS = 20_000
SIMILARITY = "ssim_samples"
COMPARED = set(FOLDER_METRICS) - {SIMILARITY}


class ScoredFolder:
    """The images of a folder, sorted by name and streamed."""

    def __init__(self, path: Path, background: Colour = WHITE):
        if Path(path).is_file():
            raise InputError(f"{path}: is a file; a folder with two or more images is needed")
        self.images = usable_images(path, at_least=2)
        self.path, self.background = self.images.folder, background
        self.files = [header.path for header in self.images.headers]
        self.hashes = hashes = file_hashes(self.files)
        self.sha256 = hash_files(self.files, self.path, hashes)
        self._batches = in_blocks(batches_of(self.images.headers, BATCH))
        self.blocks = self._hashed(hashes)
        self.sizes = {(header.height, header.width) for header in self.images.headers}
        self.has_alpha = any(header.transparent for header in self.images.headers)

    def _hashed(self, hashes: list[bytes]) -> list[ImageBlock]:
        """Return the blocks, with the hash of their names and contents, of the batches, and of the background."""
        blocks, start = [], 0
        for batches in self._batches:
            files = [header.path for batch in batches for header in batch]
            content = hash_files(files, self.path, hashes[start : start + len(files)])
            read = {"files": content, "batches": [len(batch) for batch in batches], "background": self.background}
            blocks.append(ImageBlock(len(files), sha256_json(read)))
            start += len(files)
        return blocks

    def features(self, extractor: MetricExtractor) -> np.ndarray:
        network = extractor.network
        return blocked_features(network, self, f"{self.name}, {network.name.partition('/')[0]}")

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield the batches of these blocks; see `bench.metrics.blocks`."""
        for index in wanted:
            for batch in self._batches[index]:
                yield index, read_batch([header.path for header in batch], self.background)

    @property
    def size(self) -> str:
        """Part of the protocol id: one size, or several."""
        if len(self.sizes) > 1:
            return "mixed"
        height, width = next(iter(self.sizes))
        return f"{height}" if height == width else f"{height}x{width}"

    @property
    def name(self) -> str:
        return one_line(self.path.name or self.path.resolve().name)


def evaluate_folders(
    samples: Path, reference: Path, background: Colour = WHITE, *, metrics: tuple[str, ...] | None = None
) -> list[Score]:
    """Score the images in `samples` against those in `reference`.

    `background`: colour of transparent pixels, a part of the protocol ids if any image has an alpha channel. `metrics`:
    names from `FOLDER_METRICS`, each of which gets a score, a failed one if the images do not allow it. By default
    those that the images allow and whose weights are available; for large sets only the Frechet distances.
    """
    fake, real = ScoredFolder(samples, background), ScoredFolder(reference, background)
    is_same = refuse_shared(fake.images, real.images)
    if is_same:
        fake = real
        print_notes([f"{samples}: samples and reference are the same folder"])
    elif copies := sum(map(set(real.hashes).__contains__, fake.hashes)):
        print_notes([f"{samples}: {copies} of {len(fake.files)} samples are copies of images in {reference}"])
    for folder in (fake,) if is_same else (fake, real):
        print_notes([f"{folder.path}: {note}" for note in folder.images.notes])
    device = choose_device("auto")
    source = _source(fake, real, device)
    wanted = set(_default_metrics(len(fake.files), len(real.files)) if metrics is None else metrics)
    scores: list[Score] = []
    for extractor in open_extractors(wanted & COMPARED, device):
        clock = Clock()
        known = real.features(extractor)
        features = known, known if is_same else fake.features(extractor)
        numbers, refused = compare_features(extractor, *features, wanted, _protocol(fake, real))
        numbers = [replace(with_curve(number, *features), seconds=clock.seconds) for number in numbers]
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


def _default_metrics(*counts: int) -> tuple[str, ...]:
    metrics = folder_metrics(None)
    if max(counts) <= MOST_FOR_NEIGHBOURS:
        return metrics
    print_notes([f"more than {MOST_FOR_NEIGHBOURS:,} images: only Frechet distances; select others with --metrics"])
    return tuple(name for name in metrics if METRICS[name].family in ("frechet", None))


def _protocol(fake: ScoredFolder, real: ScoredFolder) -> tuple[str, ...]:
    """Return the parts of the protocol ids that describe the two image sets."""
    sizes = (f"px{real.size}",) if real.size == fake.size else (f"real-px{real.size}", f"fake-px{fake.size}")
    return (*sizes, *_alpha(fake, real), f"real{len(real.files)}-all", f"fake{len(fake.files)}-folder")


def _alpha(*folders: ScoredFolder) -> tuple[str, ...]:
    with_alpha = [folder for folder in folders if folder.has_alpha]
    return tuple(f"alpha-on-{bytes(folder.background).hex()}" for folder in with_alpha[:1])


def _similarity(fake: ScoredFolder, real: ScoredFolder) -> tuple[Measurement | None, str]:
    """Compute the mean SSIM, if every sample has a reference image of the same relative name and size; else the
    reason."""
    pairs, note = pair_images(fake.images, real.images)
    if note is not None:
        print_notes([f"{fake.path}: {note}"])
    if not pairs:
        return None, note or "not every sample has a reference image of the same name and size"
    if min(map(min, fake.sizes)) < WINDOW:
        return None, f"SSIM needs images of at least {WINDOW} px"
    clock = Clock()
    read = partial(read_image, background=fake.background)
    values = [ssim(read(sample.path)[None], read(partner.path)[None]).item() for sample, partner in pairs]
    number = Measurement(
        SIMILARITY,
        float(np.mean(values)),
        ("gauss11-sigma1.5-population-range1-rgb", *_alpha(fake, real), "pairs-by-name"),
        n=len(values),
        seconds=clock.seconds,
        standard_error=float(np.std(values, ddof=1) / len(values) ** 0.5),
    )
    return number, ""


def _source(fake: ScoredFolder, real: ScoredFolder, device: torch.device) -> dict[str, Any]:
    """Return the fields of a score that describe the compared folders and the machine."""
    return {
        "weights": "folder",
        "seed": 0,
        "run": f"{real.name} against itself" if fake.path.samefile(real.path) else f"{fake.name} against {real.name}",
        "run_sha256": sha256_json({"samples": fake.sha256, "reference": real.sha256}),
        "data_sha256": real.sha256,
        "device": device_name(device),
        "peak_memory_bytes": peak_memory_bytes(device),
        "precision": "float32",
        "compile": False,
        **provenance("bench.evaluate"),
    }
