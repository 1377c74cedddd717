"""Means, standard deviations, confidence intervals and paired tests for few seeds and datasets.

For a comparison across datasets, the seeds of each dataset are averaged first, so that the dataset is the statistical
unit. With fewer than three units, interval, p value and effect size are None, because estimates from two points are
not reliable.

scipy.stats takes 1.2 s to import, so only functions that need the module import it. `collect` needs only the means.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

MIN_UNITS = 3
"""Minimum number of units for intervals, tests and effect sizes."""


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (n - 1) and 95 % t interval of one value over `n` units."""

    n: int
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Paired:
    """Paired comparison: mean difference, its t interval, two-sided p value, and Hedges' g of the differences."""

    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    effect: float | None = None


def summarise(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Return mean, standard deviation (if n >= 2) and t interval (if n >= 3) of the finite values."""
    sample = np.asarray([v for v in values if v is not None and math.isfinite(v)], dtype=float)
    n = len(sample)
    if n == 0:
        return Summary(0)
    mean = float(sample.mean())
    if n == 1:
        return Summary(1, mean)
    sd = float(sample.std(ddof=1))
    if n < MIN_UNITS:
        return Summary(n, mean, sd)
    half = t_quantile(n - 1, confidence) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def mean_of(values: Sequence[float]) -> float:
    return float(np.mean(values))


def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """Return the two-sided quantile of Student's t distribution."""
    return float(stdtrit(degrees, 0.5 + confidence / 2))


def t_test(values: Sequence[float], margin: float = 0.0) -> float | None:
    """Return the two-sided p value of the hypothesis that the mean equals `margin`.

    The p value is None with fewer than three values, and 0 or 1 if all values are equal.
    """
    sample = np.asarray(values, dtype=float)
    if len(sample) < MIN_UNITS:
        return None
    if sample.std(ddof=1) == 0:  # SciPy would divide by zero
        return 1.0 if sample.mean() == margin else 0.0
    from scipy import stats

    with warnings.catch_warnings():  # SciPy warns about values that differ only by rounding
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_1samp(sample, margin).pvalue)


def hedges_g(differences: Sequence[float]) -> float | None:
    """Return Cohen's d of paired differences with Hedges' small-sample correction, or None if undefined."""
    sample = np.asarray(differences, dtype=float)
    n = len(sample)
    if n < MIN_UNITS or sample.std(ddof=1) == 0:
        return None
    return float(sample.mean() / sample.std(ddof=1) * (1 - 3 / (4 * (n - 1) - 1)))


def compare_paired(differences: Sequence[float], margin: float = 0.0) -> Paired:
    """Summarise paired differences and test them against `margin` with a t test. Positive differences favour SLIM."""
    if not all(math.isfinite(value) for value in differences):
        return Paired(0)  # a baseline score is 0, and dropping its pair silently would bias the test
    over = summarise(differences)
    return Paired(over.n, over.mean, over.low, over.high, t_test(differences, margin), hedges_g(differences))


def holm(p_values: Sequence[float | None], family: int | None = None) -> list[float | None]:
    """Return p values with Holm's step-down correction within one family of tests. None (not tested) remains None.

    `family` is the number of declared tests, by default the number of p values that are not None. Declared tests
    without a result count as those with the largest p values.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    size = len(order) if family is None else family
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (size - rank) * p))
        adjusted[index] = largest
    return adjusted


def bootstrap(values: Sequence[float], resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> Summary:
    """Return the mean over test items (images) with a percentile bootstrap interval that depends on `seed`."""
    sample = np.asarray(values, dtype=float)
    n = len(sample)
    if n < MIN_UNITS:
        return summarise(values)
    from scipy import stats

    low, high = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=resamples,
        batch=100,  # limits memory to 8 MB for 10,000 items
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Summary(n, float(sample.mean()), float(sample.std(ddof=1)), float(low), float(high))
