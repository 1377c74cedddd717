"""The extractors of the few-shot metrics, and how two sets of features become numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError
from bench.evaluate.measurement import Measurement
from bench.metrics.accuracy import wilson_interval
from bench.metrics.catalogue import CLEANFID, EFFLITE0, EXTRACTOR_WEIGHTS, METRICS, metrics_through
from bench.metrics.diversity import relative_diversity
from bench.metrics.efflite import EfficientNetLite0
from bench.metrics.features import Extractor, HasLogits
from bench.metrics.frechet import frechet_curve, frechet_distance
from bench.metrics.inception import AuthorsInception, CleanFidInception, as_saved_by_authors
from bench.metrics.inception_score import inception_score
from bench.metrics.kid import kernel_distance
from bench.metrics.memorisation import memorisation
from bench.metrics.prdc import precision_recall
from bench.metrics.weights import weights_path

FRECHET = ("fid_authors", "fid_cleanfid", "fd_efflite0")
"""In the order in which they select a best snapshot."""
PRDC = ("precision", "recall", "density", "coverage")
NEIGHBOURS = 5


@dataclass(frozen=True)
class Instrument:
    """An extractor, its metrics by family, and what generated images pass before it."""

    extractor: Extractor
    metrics: dict[str, str]
    prepare_fake: Callable[[Tensor], Tensor] = lambda images: images
    fake_part: str | None = None


def open_instruments(metrics: Iterable[str], device: torch.device) -> list[Instrument]:
    """Only the extractors of the planned metrics are loaded; absent or wrong weights are an InputError."""
    wanted = {METRICS[metric].extractor for metric in metrics}
    return [_open(name, device) for name in EXTRACTOR_WEIGHTS if name in wanted]


def _open(name: str, device: torch.device) -> Instrument:
    metrics = metrics_through(name)
    if name == EFFLITE0:
        return Instrument(EfficientNetLite0(device), metrics)
    (path,) = map(weights_path, EXTRACTOR_WEIGHTS[name])
    if name == CLEANFID:
        return Instrument(CleanFidInception(path, device), metrics)
    return Instrument(AuthorsInception(path, device), metrics, as_saved_by_authors, "fake-nearest512")


def compare_features(
    instrument: Instrument, real: np.ndarray, fake: np.ndarray, wanted: set[str], sets: tuple[str, ...] = ()
) -> tuple[list[Measurement], dict[str, str]]:
    """All numbers of `instrument` among the `wanted` metrics, from features [n, D] and [m, D].

    `sets`: the protocol's parts about the two sets. Where these do not allow a metric (too few images, copies of one
    image) it has a reason instead of a number.
    """
    numbers: list[Measurement] = []
    refused: dict[str, str] = {}
    for families, measure in MEASURES.items():
        metrics = [instrument.metrics[family] for family in families if instrument.metrics.get(family) in wanted]
        if not metrics:
            continue
        try:
            found = [number for number in measure(instrument, real, fake) if number.metric in metrics]
            numbers += [replace(n, parts=(instrument.extractor.name, *sets, *n.parts), n=len(fake)) for n in found]
        except InputError as error:
            refused |= dict.fromkeys(metrics, str(error))
    return numbers, refused


def _frechet(instrument: Instrument, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    return [Measurement(instrument.metrics["frechet"], frechet_distance(real, fake), ())]


def _kid(instrument: Instrument, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    kid = kernel_distance(real, fake)
    parts = (f"poly3-subsets{kid.subsets}x{kid.subset_size}",)
    error = kid.standard_error if np.isfinite(kid.standard_error) else None  # of a single subset there is none
    return [Measurement(instrument.metrics["kid"], kid.value, parts, standard_error=error)]


def _prdc(instrument: Instrument, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    values, metrics = precision_recall(real, fake, k=NEIGHBOURS), instrument.metrics
    return [Measurement(metrics[name], getattr(values, name), (f"k{NEIGHBOURS}",)) for name in PRDC if name in metrics]


def _diversity(instrument: Instrument, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    value, own = relative_diversity(real, fake)
    return [
        Measurement(instrument.metrics["diversity"], value, ("pairs-over-real-pairs",), details={"real_pairs": own})
    ]


def _memorisation(instrument: Instrument, real: np.ndarray, fake: np.ndarray) -> list[Measurement]:
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
    metric, parts = instrument.metrics["memorisation"], ("nearer-than-distinct-reals",)
    return [Measurement(metric, result.share, parts, interval=(low / 100, high / 100), details=details)]


def _inception_score(instrument: Instrument, _: np.ndarray, fake: np.ndarray) -> list[Measurement]:
    extractor = instrument.extractor
    if not isinstance(extractor, HasLogits):
        raise InputError(f"{extractor.name}: has no class logits, which the Inception score needs")
    value, _spread = inception_score(extractor.logits(fake))
    return [Measurement(instrument.metrics["inception_score"], value, ("splits1",))]


MEASURES: dict[tuple[str, ...], Callable[[Instrument, np.ndarray, np.ndarray], list[Measurement]]] = {
    ("frechet",): _frechet,
    ("kid",): _kid,
    PRDC: _prdc,
    ("diversity",): _diversity,
    ("memorisation",): _memorisation,
    ("inception_score",): _inception_score,
}
"""What gives the numbers of which families, in the order in which they are computed."""


def with_curve(number: Measurement, real: np.ndarray, fake: np.ndarray) -> Measurement:
    """Of a Frechet distance also that against the number of fakes: halvings of the whole down to 25."""
    if METRICS[number.metric].family != "frechet":
        return number
    counts = []
    count = len(fake)
    while count >= 25:
        counts.append(count)
        count //= 2
    curve = {str(n): value for n, value in frechet_curve(real, fake, sorted(counts))}
    return replace(number, details=number.details | {"curve": curve})
