"""The power of the t test agrees with simulation, and the exact test with all sign patterns."""

import itertools

import numpy as np
import pytest
from scipy import stats

from bench.report.compare.power import POWER, paired_power, sign_flip_test, smallest_exact_p

DIFFERENCES = [0.9, 1.4, 0.2, 1.1, 0.6]


@pytest.mark.parametrize(("n", "alpha"), [(3, 0.05), (5, 0.01), (12, 0.05)])
def test_the_detectable_difference_is_detected_with_the_stated_power(n, alpha):
    differences = np.random.default_rng(0).normal(size=n)
    power = paired_power(differences, 0.0, alpha)
    drawn = np.random.default_rng(1).normal(power.detectable, differences.std(ddof=1), size=(20_000, n))
    test = stats.ttest_1samp(drawn, 0.0, axis=1)
    assert np.mean((test.pvalue < alpha) & (test.statistic > 0)) == pytest.approx(POWER, abs=0.015)


def test_more_pairs_are_counted_until_the_observed_difference_is_detectable():
    sample = np.asarray(DIFFERENCES)
    assert paired_power(sample + 10, 0.0, 0.05).more == 0
    power = paired_power(sample, 0.5, 0.05)
    n, effect = len(sample) + power.more, (sample.mean() - 0.5) / sample.std(ddof=1)
    assert power.more > 0

    def probability(pairs):
        critical = stats.t.ppf(0.975, pairs - 1)
        return stats.nct.sf(critical, pairs - 1, effect * pairs**0.5)

    assert probability(n) >= POWER > probability(n - 1)
    assert paired_power(sample, sample.mean() - 1e-4, 0.05).more is None


def test_power_needs_three_pairs_with_spread():
    assert paired_power([1.0, 2.0], 0.0, 0.05) is None
    assert paired_power([1.0, 1.0, 1.0], 0.0, 0.05) is None
    assert paired_power([1.0, float("nan"), 2.0], 0.0, 0.05) is None


@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_the_exact_test_counts_all_sign_patterns(margin):
    sample = np.asarray(DIFFERENCES) - margin
    means = [np.mean(sample * signs) for signs in itertools.product((-1, 1), repeat=len(sample))]
    expected = min(
        1.0,
        2
        * min(np.mean(np.asarray(means) >= sample.mean() - 1e-12), np.mean(np.asarray(means) <= sample.mean() + 1e-12)),
    )
    assert sign_flip_test(DIFFERENCES, margin) == pytest.approx(expected)


def test_five_pairs_cannot_reach_significance():
    assert sign_flip_test(DIFFERENCES) == pytest.approx(0.0625)
    assert smallest_exact_p([5]) == pytest.approx([0.0625])
    assert sign_flip_test([1.0, 2.0]) is None


def test_holm_decides_which_tests_can_reach_significance():
    """The counts are taken from the paper's claims: 5 and 7 datasets at 256 and 1024 px, 10 images twice, 5 seeds."""
    reached = smallest_exact_p([5, 7, 10, 10, 5])
    assert [p < 0.05 for p in reached] == [False, True, True, True, False]
    assert smallest_exact_p([5, 6, 10, 10, 5])[1] > 0.05
