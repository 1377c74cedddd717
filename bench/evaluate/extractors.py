"""Feature extractors and the metrics computed from their features."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError
from bench.evaluate.measurement import Measurement
from bench.metrics.accuracy import wilson_interval
from bench.metrics.catalogue import CLEANFID, EFFLITE0, EXTRACTOR_WEIGHTS, METRICS, metrics_of_extractor
from bench.metrics.diversity import relative_diversity
from bench.metrics.efflite import EfficientNetLite0
from bench.metrics.features import Extractor, HasLogits
from bench.metrics.frechet import frechet_curve, frechet_distance
from bench.metrics.frechet_error import frechet_standard_error, replicates_for
from bench.metrics.inception import AuthorsInception, CleanFidInception, as_saved_by_authors
from bench.metrics.inception_score import inception_score
from bench.metrics.kid import kernel_distance
from bench.metrics.memorisation import memorisation
from bench.metrics.prdc import precision_recall

FRECHET = ("fid_authors", "fid_cleanfid", "fd_efflite0")
"""Metrics that can select the best snapshot. The first planned metric of this tuple is used."""
FID = "fid_cleanfid"
PRDC = ("precision", "recall", "density", "coverage")
N_NEIGHBOURS = 5
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class MetricExtractor:
    """A feature extractor, its metrics by family, and the preprocessing of generated images."""

    network: Extractor
    metrics: dict[str, str]
    prepare_fake: Callable[[Tensor], Tensor] = lambda images: images
    fake_part: str | None = None


def open_extractors(metrics: Iterable[str], device: torch.device) -> list[MetricExtractor]:
    """Load the extractors of the planned metrics. Raises InputError for missing or wrong weights."""
    wanted = {METRICS[metric].extractor for metric in metrics}
    return [_open(name, device) for name in EXTRACTOR_WEIGHTS if name in wanted]


def _open(name: str, device: torch.device) -> MetricExtractor:
    metrics = metrics_of_extractor(name)
    if name == EFFLITE0:
        return MetricExtractor(EfficientNetLite0(device), metrics)
    if name == CLEANFID:
        return MetricExtractor(CleanFidInception(device), metrics)
    return MetricExtractor(AuthorsInception(device), metrics, as_saved_by_authors, "fake-nearest512")


def compare_features(
    extractor: MetricExtractor, real: np.ndarray, fake: np.ndarray, wanted: set[str], sets: tuple[str, ...] = ()
) -> tuple[list[Measurement], dict[str, str]]:
    """Compute all `wanted` metrics of `extractor` from real features [n, D] and generated features [m, D].

    `sets` contains the parts of the protocol id that name the two sets of images. A metric that cannot be computed from
    these images (too few images, or copies of one image) has a reason instead of a value.
    """
    measurements: list[Measurement] = []
    undefined: dict[str, str] = {}
    for families, measure in MEASUREMENTS_BY_FAMILY.items():
        metrics = [extractor.metrics[family] for family in families if extractor.metrics.get(family) in wanted]
        if not metrics:
            continue
        try:
            found = [measurement for measurement in measure(extractor, real, fake) if measurement.metric in metrics]
            measurements += [replace(n, parts=(extractor.network.name, *sets, *n.parts), n=len(fake)) for n in found]
        except InputError as error:
            undefined |= dict.fromkeys(metrics, str(error))
    return measurements, undefined


def _frechet(extractor: MetricExtractor, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    value, error = frechet_distance(real, fake), frechet_standard_error(real, fake)
    return [frechet_measurement(extractor.metrics["frechet"], value, error, replicates_for(real))]


def frechet_measurement(metric: str, value: float, error: float, replicates: int) -> Measurement:
    """Return the measurement of a Fréchet distance with its confidence interval."""
    interval = (value - NORMAL_95 * error, value + NORMAL_95 * error)
    details = {"interval": f"95 %, bootstrap with {replicates} resamples of the generated images and a fixed reference"}
    return Measurement(metric, value, (), standard_error=error, interval=interval, details=details)


def _kid(extractor: MetricExtractor, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    kid = kernel_distance(real, fake)
    parts = (f"poly3-subsets{kid.subsets}x{kid.subset_size}",)
    error = kid.standard_error if np.isfinite(kid.standard_error) else None  # not defined for a single subset
    return [Measurement(extractor.metrics["kid"], kid.value, parts, standard_error=error)]


def _prdc(extractor: MetricExtractor, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    values, metrics = precision_recall(real, fake, k=N_NEIGHBOURS), extractor.metrics
    return [
        Measurement(metrics[name], getattr(values, name), (f"k{N_NEIGHBOURS}",)) for name in PRDC if name in metrics
    ]


def _diversity(extractor: MetricExtractor, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    value, real_pairs = relative_diversity(real, fake)
    return [
        Measurement(
            extractor.metrics["diversity"], value, ("pairs-over-real-pairs",), details={"real_pairs": real_pairs}
        )
    ]


def _memorisation(extractor: MetricExtractor, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    result = memorisation(real, fake)
    closest = np.argsort(result.ratio, kind="stable")[:8]
    details = {
        "median_ratio": result.median_ratio,
        "closest": [
            {"sample": int(i), "training": int(result.nearest[i]), "ratio": round(float(result.ratio[i]), 4)}
            for i in closest
        ],
    }
    low, high = wilson_interval(100 * result.share, len(fake))
    metric, parts = extractor.metrics["memorisation"], ("nearer-than-distinct-reals",)
    return [Measurement(metric, result.share, parts, interval=(low / 100, high / 100), details=details)]


def _inception_score(extractor: MetricExtractor, _: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    network = extractor.network
    if not isinstance(network, HasLogits):
        raise InputError(f"{network.name}: has no class logits, which the Inception score needs")
    value, _spread = inception_score(network.logits(fake))
    return [Measurement(extractor.metrics["inception_score"], value, ("splits1",))]


MEASUREMENTS_BY_FAMILY: dict[
    tuple[str, ...], Callable[[MetricExtractor, np.ndarray, np.ndarray], list[Measurement]]
] = {
    ("frechet",): _frechet,
    ("kid",): _kid,
    PRDC: _prdc,
    ("diversity",): _diversity,
    ("memorisation",): _memorisation,
    ("inception_score",): _inception_score,
}
"""Mapping from each metric family to the function that computes its metrics, in order of computation."""


def add_curve(measurement: Measurement, real: np.ndarray, fake: np.ndarray) -> Measurement:
    """Return `measurement`, with a curve over the number of generated images if the metric is a Fréchet distance.

    The curve has one point for each number of images that results from repeated halving and is at least 25.
    """
    if METRICS[measurement.metric].family != "frechet":
        return measurement
    counts = []
    count = len(fake)
    while count >= 25:
        counts.append(count)
        count //= 2
    curve = {str(n): value for n, value in frechet_curve(real, fake, sorted(counts))}
    return replace(measurement, details=measurement.details | {"curve": curve})
