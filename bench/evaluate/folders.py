"""Anyone's images against a reference folder, through the same extractors and distances as the runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.evaluate.extractors import MetricExtractor, compare_features, open_extractors, with_curve
from bench.evaluate.measurement import Clock, Measurement, failed_score
from bench.files import sha256_json
from bench.metrics.catalogue import CLEANFID, EFFLITE0, METRICS
from bench.metrics.features import extract_features
from bench.metrics.folder import hash_files, list_images, read_image, stream_images
from bench.metrics.ssim import WINDOW, ssim
from bench.metrics.weights import weights_are_here
from bench.provenance import provenance
from bench.runtime.device import choose_device, device_name
from bench.runtime.memory import peak_memory_bytes
from bench.score import Score

BATCH = 8
MOST_FOR_NEIGHBOURS = 20_000


class ScoredFolder:
    """Images of a folder in sorted order, streamed."""

    def __init__(self, path: Path):
        self.path, self.files = Path(path), list_images(path)
        self.sha256 = hash_files(self.files, self.path)
        self.sizes: set[tuple[int, int]] = set()

    def features(self, extractor: MetricExtractor) -> np.ndarray:
        return extract_features(extractor.network, self._batches())

    def _batches(self) -> Iterator[Tensor]:
        for batch in stream_images(self.files, BATCH):
            height, width = batch.shape[-2:]
            self.sizes.add((height, width))
            yield batch

    @property
    def size(self) -> str:
        """Part of the protocol id: one size, or several."""
        if len(self.sizes) > 1:
            return "mixed"
        height, width = next(iter(self.sizes))
        return f"{height}" if height == width else f"{height}x{width}"


def evaluate_folders(samples: Path, reference: Path) -> list[Score]:
    """Scores of the images under `samples` against those under `reference`; Inception's where its weights are here."""
    device = choose_device("auto")
    fake, real = ScoredFolder(samples), ScoredFolder(reference)
    measured = {name: kind for name, kind in METRICS.items() if kind.extractor in (EFFLITE0, CLEANFID)}
    metrics = {name for name, kind in measured.items() if all(map(weights_are_here, kind.weights))}
    scores: list[Score] = []
    for extractor in open_extractors(metrics, device):
        clock = Clock()
        pair = real.features(extractor), fake.features(extractor)  # from here on the sizes are known
        sizes = (f"px{real.size}",) if real.size == fake.size else (f"real-px{real.size}", f"fake-px{fake.size}")
        sets = (*sizes, f"real{len(real.files)}-all", f"fake{len(fake.files)}-folder")
        wanted = metrics if max(map(len, pair)) <= MOST_FOR_NEIGHBOURS else {extractor.metrics["frechet"]}
        numbers, refused = compare_features(extractor, *pair, wanted, sets)
        numbers = [replace(with_curve(number, *pair), seconds=clock.seconds) for number in numbers]
        source = _source(fake, real, device)
        scores += [number.score(**source) for number in numbers]
        scores += [failed_score(metric, reason, **source) for metric, reason in refused.items()]
    return scores + [number.score(**_source(fake, real, device)) for number in _pairs(fake, real)]


def _pairs(fake: ScoredFolder, real: ScoredFolder) -> list[Measurement]:
    """Mean SSIM where every sample has a reference image of its own relative name and size."""
    names = [path.relative_to(fake.path).with_suffix("") for path in fake.files]
    theirs = {path.relative_to(real.path).with_suffix(""): path for path in real.files}
    same_size = fake.sizes == real.sizes and len(fake.sizes) == 1
    if not same_size or set(names) != set(theirs) or min(next(iter(fake.sizes))) < WINDOW:
        return []
    clock = Clock()
    pairs = zip(fake.files, names, strict=True)
    values = [ssim(read_image(path)[None], read_image(theirs[name])[None]).item() for path, name in pairs]
    number = Measurement(
        "ssim_samples",
        float(np.mean(values)),
        ("gauss11-sigma1.5-population-range1-rgb", "pairs-by-name"),
        n=len(values),
        seconds=clock.seconds,
        standard_error=float(np.std(values, ddof=1) / len(values) ** 0.5),
    )
    return [number]


def _source(fake: ScoredFolder, real: ScoredFolder, device: torch.device) -> dict[str, Any]:
    """Fields of a score that say what was compared, and where."""
    return {
        "weights": "folder",
        "seed": 0,
        "run": f"{fake.path.name} against {real.path.name}",
        "run_sha256": sha256_json({"samples": fake.sha256, "reference": real.sha256}),
        "data_sha256": real.sha256,
        "device": device_name(device),
        "peak_memory_bytes": peak_memory_bytes(device),
        "precision": "float32",
        "compile": False,
        **provenance("bench.evaluate"),
    }
