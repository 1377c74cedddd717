"""Computes the power of the paired tests: the smallest detectable difference, and the smallest p of the exact test.

The t test of n paired differences with standard deviation s detects a difference d with the probability that a
noncentral t with n - 1 degrees of freedom and noncentrality d sqrt(n) / s exceeds the critical value. The exact
sign-flip test has 2^n sign patterns, so its two-sided p cannot be below 2^(1 - n).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.compare.statistics import MIN_UNITS, holm

POWER = 0.8
MAX_PAIRS = 1000
"""Upper limit of the search for the number of pairs that detect a difference."""
EXACT_PAIRS = 16
"""Largest number of pairs for which all sign patterns are evaluated. For more pairs, 2^16 random patterns are drawn."""


@dataclass(frozen=True)
class Power:
    """Power of the t test with the observed standard deviation.

    `detectable`: smallest difference that is detected with probability POWER. `more`: number of additional pairs that
    are needed to detect the observed difference. `more` is 0 if the observed difference is already detectable, and None
    if MAX_PAIRS are not enough.
    """

    detectable: float
    more: int | None


def paired_power(differences: Sequence[float], margin: float, alpha: float) -> Power | None:
    """Return the power of the two-sided t test at level `alpha`, or None for fewer than 3 pairs or no spread."""
    sample = np.asarray(differences, dtype=float)
    n = len(sample)
    if n < MIN_UNITS or not np.isfinite(sample).all() or sample.std(ddof=1) == 0:
        return None
    sd = float(sample.std(ddof=1))
    observed = abs(float(sample.mean()) - margin) / sd
    needed = _pairs_for(observed, alpha, n)
    return Power(_detectable(n, alpha) * sd, None if needed is None else needed - n)


def _detectable(n: int, alpha: float) -> float:
    """Return the smallest difference, in standard deviations, that n pairs detect with probability POWER."""
    from scipy import optimize

    return float(optimize.brentq(lambda d: _probability(d, n, alpha) - POWER, 0.0, 1e6, xtol=1e-6))


def _pairs_for(difference: float, alpha: float, n: int) -> int | None:
    """Return the smallest number of pairs, at least n, that detect `difference` (in standard deviations).

    Returns None if MAX_PAIRS are not enough.
    """
    if _probability(difference, MAX_PAIRS, alpha) < POWER:
        return None
    low, high = n, MAX_PAIRS  # the probability grows with the number of pairs
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _probability(difference, middle, alpha) >= POWER else (middle + 1, high)
    return low


def _probability(difference: float, n: int, alpha: float) -> float:
    """Return the probability of a significant result in the direction of `difference`, in standard deviations."""
    from scipy import special

    critical = special.stdtrit(n - 1, 1 - alpha / 2)
    return float(1 - special.nctdtr(n - 1, difference * math.sqrt(n), critical))


def sign_flip_test(differences: Sequence[float], margin: float = 0.0) -> float | None:
    """Return the two-sided p of the exact sign-flip permutation test of `mean == margin`.

    Returns None with fewer than three pairs.
    """
    sample = np.asarray(differences, dtype=float) - margin
    if len(sample) < MIN_UNITS or not np.isfinite(sample).all():
        return None
    from scipy import stats

    patterns = np.inf if len(sample) <= EXACT_PAIRS else 2**EXACT_PAIRS
    result = stats.permutation_test(
        (sample,),
        np.mean,
        permutation_type="samples",
        n_resamples=patterns,
        vectorized=True,
        batch=2**EXACT_PAIRS,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def smallest_exact_p(pairs: Sequence[int]) -> list[float]:
    """Return the smallest p that each exact test can reach after Holm's correction.

    `pairs`: number of pairs of each test.
    """
    return [p for p in holm([min(1.0, 2.0 ** (1 - n)) for n in pairs]) if p is not None]
