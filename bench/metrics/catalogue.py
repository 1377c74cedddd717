"""Table of all metrics, with the tasks, unit, direction, extractor and weights of each metric.

This module does not import torch, because the planner uses the table to check metric names. Titles for the report are
in `bench.report.read.names`.
"""

from dataclasses import dataclass
from typing import Literal

from bench.errors import InputError, did_you_mean

FEWSHOT, ONESHOT, CLASSIFICATION = "fewshot", "oneshot", "classification"
ALL = (FEWSHOT, ONESHOT, CLASSIFICATION)
Direction = Literal["lower", "higher", "none"]

EFFLITE0, CLEANFID, AUTHORS = "efflite0", "cleanfid", "authors"
"""The extractors, in the order in which their features are computed."""
INCEPTION_WHOLE = ("inception-cleanfid", "inception-pytorch-fid")
"""Published files of the FID Inception that include the last layer. Only the Inception score needs this layer."""
INCEPTION_FILES = ("inception-fid-helper", *INCEPTION_WHOLE)
"""Published files with the convolutions of the FID Inception, in search order."""
EXTRACTOR_WEIGHTS: dict[str, tuple[str, ...]] = {
    EFFLITE0: (),
    CLEANFID: INCEPTION_FILES[:1],
    AUTHORS: INCEPTION_FILES[:1],
}
LPIPS_WEIGHTS = ("vgg16-torchvision", "lpips-vgg16-heads")
SIFID_WEIGHTS = ("inception-torchvision",)


@dataclass(frozen=True)
class Kind:
    """Properties of a metric that are known before it is computed.

    Attributes:
        weights: catalogue names of the weights that the metric needs in addition to the installed packages.
        min_images: minimum number of generated images.
        extractor: feature extractor of a metric that compares sets of features.
        family: quantity that is computed from the features of `extractor`, such as `frechet` or `kid`.
    """

    tasks: tuple[str, ...]
    direction: Direction
    unit: str = ""
    weights: tuple[str, ...] = ()
    min_images: int = 1
    extractor: str | None = None
    family: str | None = None


def _features(
    extractor: str, family: str, direction: Direction, min_images: int = 2, weights: tuple[str, ...] = ()
) -> Kind:
    needed = (*EXTRACTOR_WEIGHTS[extractor], *weights)
    return Kind((FEWSHOT,), direction, weights=needed, min_images=min_images, extractor=extractor, family=family)


def _oneshot(direction: Direction, weights: tuple[str, ...] = ()) -> Kind:
    return Kind((ONESHOT,), direction, weights=weights)


METRICS: dict[str, Kind] = {
    "fd_efflite0": _features(EFFLITE0, "frechet", "lower"),
    "kid_efflite0": _features(EFFLITE0, "kid", "lower"),
    "precision_efflite0": _features(EFFLITE0, "precision", "higher", min_images=6),
    "recall_efflite0": _features(EFFLITE0, "recall", "higher", min_images=6),
    "density_efflite0": _features(EFFLITE0, "density", "higher", min_images=6),
    "coverage_efflite0": _features(EFFLITE0, "coverage", "higher", min_images=6),
    "diversity_efflite0": _features(EFFLITE0, "diversity", "higher"),
    "memorisation_efflite0": _features(EFFLITE0, "memorisation", "lower"),
    "fid_cleanfid": _features(CLEANFID, "frechet", "lower"),
    "kid_inception": _features(CLEANFID, "kid", "lower"),
    "precision_inception": _features(CLEANFID, "precision", "higher", min_images=6),
    "recall_inception": _features(CLEANFID, "recall", "higher", min_images=6),
    "density_inception": _features(CLEANFID, "density", "higher", min_images=6),
    "coverage_inception": _features(CLEANFID, "coverage", "higher", min_images=6),
    "diversity_inception": _features(CLEANFID, "diversity", "higher"),
    "memorisation_inception": _features(CLEANFID, "memorisation", "lower"),
    "inception_score": _features(CLEANFID, "inception_score", "higher", weights=INCEPTION_WHOLE[:1]),
    "fid_authors": _features(AUTHORS, "frechet", "lower"),
    "lpips_diversity": Kind((FEWSHOT,), "higher", weights=LPIPS_WEIGHTS, min_images=2),
    "ssim_reconstruction": _oneshot("higher"),
    "ssim_samples": _oneshot("higher"),
    "ms_ssim_reconstruction": _oneshot("higher"),
    "ms_ssim_samples": _oneshot("higher"),
    "diversity": _oneshot("higher"),
    "sifid64": _oneshot("lower", SIFID_WEIGHTS),
    "sifid192": _oneshot("lower", SIFID_WEIGHTS),
    "lpips_reconstruction": _oneshot("lower", LPIPS_WEIGHTS),
    "lpips_samples": _oneshot("lower", LPIPS_WEIGHTS),
    "top1": Kind((CLASSIFICATION,), "higher", "%"),
    "top5": Kind((CLASSIFICATION,), "higher", "%"),
    "ece": Kind((CLASSIFICATION,), "lower", "%"),
    "params": Kind(ALL, "lower"),
    "macs": Kind(ALL, "lower"),
    "latency": Kind(ALL, "lower", "ms"),
    "memory": Kind(ALL, "lower"),
}

FOLDER_METRICS = (
    *(name for name, kind in METRICS.items() if kind.extractor in (EFFLITE0, CLEANFID)),
    "ssim_samples",
)
"""The metrics of `evaluate --samples`, in the order in which the command prints them."""


def metrics_of_extractor(extractor: str) -> dict[str, str]:
    """Return a mapping from family to metric name for all metrics that use `extractor`."""
    return {kind.family: name for name, kind in METRICS.items() if kind.extractor == extractor and kind.family}


def check_metrics(metrics: tuple[str, ...], task: str, source: str, n_fake: int | None = None) -> None:
    """Raise InputError for a metric that is unknown, belongs to another task, or needs more than `n_fake` images."""
    valid = [name for name, kind in METRICS.items() if task in kind.tasks]
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"{source}: unknown metric {name!r}{did_you_mean(name, valid)}")
        if name not in valid:
            raise InputError(f"{source}: metric {name!r} is for {METRICS[name].tasks[0]}, not {task}")
        if n_fake is not None and n_fake < METRICS[name].min_images:
            raise InputError(f"{source}: {name!r} needs n_fake of at least {METRICS[name].min_images}, not {n_fake}")
