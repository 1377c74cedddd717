"""Which extractor a few-shot metric looks through, and how it turns two sets of features into numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.metrics.diversity import feature_diversity
from bench.metrics.efflite import EfficientNetLite0
from bench.metrics.features import Extractor
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


@dataclass(frozen=True)
class Number:
    """One family's number with the parts it adds to the protocol id."""

    family: str
    value: float
    parts: tuple[str, ...] = ()
    standard_error: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


EFFLITE0 = {
    "frechet": "fd_efflite0",
    "kid": "kid_efflite0",
    **{family: f"{family}_efflite0" for family in (*PRDC, "diversity", "memorisation")},
}
CLEANFID = {"frechet": "fid_cleanfid", "kid": "kid_inception", "inception_score": "inception_score"}
AUTHORS = {"frechet": "fid_authors"}


def open_instruments(metrics: Iterable[str], device: torch.device) -> list[Instrument]:
    """Only what the planned metrics look through is loaded; absent or wrong weights are an InputError."""
    wanted = set(metrics)
    instruments = []
    if wanted & set(EFFLITE0.values()):
        instruments.append(Instrument(EfficientNetLite0(device), EFFLITE0))
    if wanted & set(CLEANFID.values()):
        instruments.append(Instrument(CleanFidInception(weights_path("inception-cleanfid"), device), CLEANFID))
    if wanted & set(AUTHORS.values()):
        extractor = AuthorsInception(weights_path("inception-pytorch-fid"), device)
        instruments.append(Instrument(extractor, AUTHORS, as_saved_by_authors, "fake-nearest512"))
    return instruments


def compare(instrument: Instrument, real: np.ndarray, fake: np.ndarray, wanted: set[str]) -> list[Number]:
    """All numbers of `instrument` among the `wanted` metrics, from features [n, D] and [m, D]."""
    families = {family for family, metric in instrument.metrics.items() if metric in wanted}
    numbers = []
    if "frechet" in families:
        numbers.append(Number("frechet", frechet_distance(real, fake)))
    if "kid" in families:
        kid = kernel_distance(real, fake)
        parts = (f"poly3-subsets{kid.subsets}x{kid.subset_size}",)
        error = kid.standard_error if np.isfinite(kid.standard_error) else None  # of a single subset there is none
        numbers.append(Number("kid", kid.value, parts, error))
    if families & set(PRDC):
        values = precision_recall(real, fake, k=NEIGHBOURS)
        numbers += [Number(family, getattr(values, family), (f"k{NEIGHBOURS}",)) for family in PRDC]
    if "diversity" in families:
        own = feature_diversity(real)
        value = feature_diversity(fake)
        numbers.append(Number("diversity", value / own, ("pairs-over-real-pairs",), details={"real_pairs": own}))
    if "memorisation" in families:
        numbers.append(_memorisation(real, fake))
    if "inception_score" in families:
        value, _ = inception_score(instrument.extractor.logits(fake))
        numbers.append(Number("inception_score", value, ("splits1",)))
    return [number for number in numbers if number.family in families]


def _memorisation(real: np.ndarray, fake: np.ndarray) -> Number:
    result = memorisation(real, fake)
    closest = np.argsort(result.ratio, kind="stable")[:8]
    details = {
        "median_ratio": result.median_ratio,
        "closest": [
            {"sample": int(i), "training": int(result.nearest[i]), "ratio": round(float(result.ratio[i]), 4)}
            for i in closest
        ],
    }
    return Number("memorisation", result.share, ("nearer-than-reals",), details=details)


def curve(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Frechet distance against the number of fakes: halvings of the whole down to 25."""
    counts = []
    count = len(fake)
    while count >= 25:
        counts.append(count)
        count //= 2
    return {str(n): value for n, value in frechet_curve(real, fake, sorted(counts))}
