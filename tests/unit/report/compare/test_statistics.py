import numpy as np
import pytest
from scipy import special, stats

from bench.report.compare.statistics import bootstrap, compare_paired, hedges_g, holm, summarise, t_test


def test_interval_equals_students_t_interval():
    values = [3.1, 2.7, 3.9, 3.3, 2.8]
    over = summarise(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (over.n, over.mean, over.sd) == (5, pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert (over.low, over.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_values_have_no_interval_or_test(count):
    values = [1.0, 2.0][:count]
    over, paired = summarise(values), compare_paired(values)
    assert over.n == count and over.low is None and over.high is None
    assert (over.sd is None) == (count < 2)
    assert paired.p is None and paired.effect is None and paired.low is None


def test_values_that_are_not_numbers_are_ignored():
    assert summarise([1.0, float("nan"), None, 3.0]).n == 2


@pytest.mark.parametrize("margin", [0.0, 0.1, -3.0])
def test_p_value_is_that_of_students_distribution(margin):
    """Twice the tail probability beyond the mean over its standard error. All printed digits are equal."""
    values = np.array([0.4, 0.1, -0.2, 0.5, 0.3, 0.2])
    error = values.std(ddof=1) / np.sqrt(len(values))
    tail = special.stdtr(len(values) - 1, -abs((values.mean() - margin) / error))
    assert t_test(values, margin) == pytest.approx(2 * tail, rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_values_that_differ_by_rounding_alone_print_no_warning():
    assert t_test([1.0, 1.0, 1.0 + 1e-15]) < 1e-20


def test_p_value_of_equal_differences_is_zero_or_one():
    assert t_test([1.0, 1.0, 1.0]) == 0.0
    assert t_test([1.0, 1.0, 1.0], 1.0) == 1.0


def test_effect_size_is_corrected_for_few_pairs():
    values = [1.0, 2.0, 3.0, 4.0]
    plain = np.mean(values) / np.std(values, ddof=1)
    assert hedges_g(values) == pytest.approx(plain * (1 - 3 / (4 * 3 - 1)))


def test_holm_equals_a_manual_calculation():
    # 0.01 x 4, 0.02 x 3, 0.03 x 2 but not below the previous value, 0.04 x 1
    assert holm([0.04, 0.01, None, 0.03, 0.02]) == [
        pytest.approx(v) if v else None for v in (0.06, 0.04, None, 0.06, 0.06)
    ]


def test_holm_counts_tests_that_were_declared_but_not_made():
    assert holm([0.01, None, 0.02], family=5) == [pytest.approx(0.05), None, pytest.approx(0.08)]
    assert holm([0.01, None, 0.02]) == [pytest.approx(0.02), None, pytest.approx(0.02)]


def test_holm_never_exceeds_one():
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_bootstrap_is_deterministic_and_near_the_t_interval():
    values = np.random.default_rng(1).normal(5, 2, 400)
    first, again = bootstrap(values), bootstrap(values)
    assert first == again
    expected = summarise(list(values))
    assert first.low == pytest.approx(expected.low, abs=0.04) and first.high == pytest.approx(expected.high, abs=0.04)


@pytest.mark.parametrize("count", [3, 20, 257])
def test_bootstrap_is_the_percentile_interval_of_resampled_means(count):
    """Resamples are drawn with NumPy's generator, 100 at a time, so that published intervals do not change."""
    values = np.random.default_rng(count).normal(5, 2, count)
    generator = np.random.default_rng(0)
    means = [values[generator.integers(0, count, (100, count))].mean(axis=1) for _ in range(20)]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    found = bootstrap(values)
    assert (found.n, found.mean, found.sd) == (count, values.mean(), values.std(ddof=1))
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-12), pytest.approx(high, rel=1e-12))


def test_bootstrap_of_equal_values_has_no_width():
    assert bootstrap([2.5] * 5).low == bootstrap([2.5] * 5).high == 2.5


def test_a_difference_of_nan_gives_no_test():
    found = compare_paired([0.1, float("nan"), 0.2, 0.15])
    assert (found.n, found.mean, found.p, found.effect) == (0, None, None, None)
