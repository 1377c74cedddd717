"""Scores classifiers: accuracy and calibration on the test set, with a linear classifier as control.

Each test image is evaluated once: without a crop for array datasets, and as a single centre crop for image files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.data.augment import Normalise, Statistics
from bench.data.datasets import load_split, read_manifest
from bench.data.manifest import Manifest
from bench.evaluate.cost import measure_cost
from bench.evaluate.linear import fit_linear
from bench.evaluate.measurement import Clock, Measurement
from bench.evaluate.writer import ScoreFolder
from bench.export import WEIGHTS, load_export, load_weights
from bench.files import sha256_file
from bench.metrics.accuracy import confusion_matrix, per_class, top_k, wilson_interval
from bench.metrics.calibration import calibration_error, calibration_interval, reliability
from bench.metrics.features import exact_float32
from bench.run import ClassificationRecipe, Run

BINS = 15
MAX_CONFUSION_CLASSES = 100
CPU_BATCH, CUDA_BATCH = 32, 256  # small batches fit in a CPU's cache, which doubles the speed
OpenBatches = Callable[[], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class TestImages:
    """Test images, the parts of the protocol id that describe images and weights, and the class names if known."""

    batches: OpenBatches
    parts: tuple[str, ...]
    classes: tuple[str, ...] | None = None


def evaluate_classification(run: Run, run_dir: Path, scores: ScoreFolder) -> None:
    folder = run.data_folder
    manifest = read_manifest(folder)
    batches, view = open_test(run, folder, manifest, CUDA_BATCH if scores.device.type == "cuda" else CPU_BATCH)
    network, meta = load_export(run_dir)
    network = network.to(scores.device)
    fields = meta["training"]["normalise"]
    normalise = Normalise(Statistics(tuple(fields["mean"]), tuple(fields["std"])), scores.device)
    averaged = meta["training"]["protocol"]
    test = TestImages(batches, (view, averaged), manifest.classes)
    _score(scores, lambda x: network(normalise(x)), test, "last")
    best = run_dir / "best" / WEIGHTS
    if best.exists():
        assert isinstance(run.recipe, ClassificationRecipe)
        chosen = load_weights(best).to(scores.device)
        part = f"best-epoch-by-holdout{run.recipe.holdout}"
        selected = replace(test, parts=(view, averaged, part))
        _score(scores, lambda x: chosen(normalise(x)), selected, "best", sha256_file(best))
    if manifest.kind == "classification":
        images, labels = load_split(folder, "train")  # the linear classifier is fitted to their pixels
        linear = fit_linear(images.to(scores.device), labels.to(scores.device), int(labels.max()) + 1)
        _score(scores, linear, replace(test, parts=(view, "last")), "control-linear")
    images, _ = next(batches())
    image = normalise(images[:1].to(scores.device))
    with torch.no_grad():
        measure_cost(scores, network, lambda: network(image), f"px{image.shape[-1]}")


def open_test(run: Run, folder: Path, manifest: Manifest, size: int) -> tuple[OpenBatches, str]:
    """Return a function that iterates over the test batches (uint8 images, labels), and a part of the protocol id.

    This part describes the preprocessing of the images.
    """
    if manifest.kind == "classification":
        images, labels = load_split(folder, "test")
        return lambda: zip(images.split(size), labels.split(size), strict=True), f"whole{images.shape[-1]}"
    from bench.data.inputs import background_of, list_split
    from bench.data.loaders import evaluation_batches

    pixels = run.data.image_size or 224
    files = list_split(folder, manifest, "test")
    return lambda: evaluation_batches(
        files, pixels, size, background_of(manifest)
    ), f"centre-crop0.875-bilinear{pixels}"


@torch.inference_mode()
def predict(network: Callable[[Tensor], Tensor], batches: OpenBatches, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return logits [N, classes] and labels [N] of all test images, on the CPU."""
    outputs, targets = [], []
    with exact_float32():
        for images, labels in batches():
            outputs.append(network(images.to(device)).float().cpu())
            targets.append(labels.long())
    return torch.cat(outputs), torch.cat(targets)


def _score(
    scores: ScoreFolder,
    network: Callable[[Tensor], Tensor] | nn.Module,
    test: TestImages,
    weights: str,
    model_sha256: str | None = None,
) -> None:
    clock = Clock()
    logits, labels = predict(network, test.batches, scores.device)
    for metric, k in (("top1", 1), ("top5", 5)):
        if k > logits.shape[1]:
            scores.fail(f"{metric} is not defined for {logits.shape[1]} classes", metrics=(metric,))
        elif scores.is_planned(metric):
            scores.add(_accuracy(metric, k, logits, labels, test, clock), weights, model_sha256)
    if scores.is_planned("ece"):
        scores.add(_calibration(logits, labels, test, clock), weights, model_sha256)


def _accuracy(metric: str, k: int, logits: Tensor, labels: Tensor, test: TestImages, clock: Clock) -> Measurement:
    n, value = len(labels), top_k(logits, labels, k)
    return Measurement(
        metric,
        value,
        (*test.parts, f"test{n}"),
        n=n,
        seconds=clock.seconds,
        standard_error=(value * (100 - value) / n) ** 0.5,
        interval=wilson_interval(value, n),
        details=_per_class(logits, labels, test.classes) if k == 1 else {},
    )


def _calibration(logits: Tensor, labels: Tensor, test: TestImages, clock: Clock) -> Measurement:
    n = len(labels)
    return Measurement(
        "ece",
        calibration_error(logits, labels, BINS),
        (f"bins{BINS}", *test.parts, f"test{n}"),
        n=n,
        seconds=clock.seconds,
        interval=calibration_interval(logits, labels, BINS),
        details={"bins": [[count, round(c, 6), round(a, 6)] for count, c, a in reliability(logits, labels, BINS)]},
    )


def _per_class(logits: Tensor, labels: Tensor, classes: tuple[str, ...] | None) -> dict[str, Any]:
    confusion = confusion_matrix(logits, labels)
    details: dict[str, Any] = {"per_class": per_class(confusion)}
    if len(confusion) <= MAX_CONFUSION_CLASSES:
        details["confusion"] = confusion.tolist()
        details |= {"classes": list(classes)} if classes else {}
    return details
