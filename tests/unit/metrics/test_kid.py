"""Kernel distance: value of torch-fidelity for the same subsets, unbiasedness, standard error."""

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.metrics import kid
from bench.metrics.kid import jackknife_error, kernel_distance, squared_mmd
from tests.helpers.metric_cases import FEATURES


@pytest.mark.parametrize("name", FEATURES)
def test_kid_equals_torch_fidelity_on_the_same_subsets(name):
    from torch_fidelity.metric_kid import kid_features_to_metric

    fake, real = (x.astype(np.float64) for x in FEATURES[name])
    size, subsets, seed = 30, 10, 7
    theirs = kid_features_to_metric(
        *map(torch.from_numpy, (fake, real)), kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    random = np.random.RandomState(seed)
    ours = []
    for _ in range(subsets):
        first = fake[random.choice(len(fake), size, replace=False)]
        ours.append(squared_mmd(first, real[random.choice(len(real), size, replace=False)]))
    assert np.mean(ours) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-10)


def test_mean_over_resamples_of_one_distribution_is_zero():
    """There is no bias at small n: the mean is within 4 standard errors of 0 for 60 images."""
    values = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        values.append(kernel_distance(random.normal(size=(60, 16)), random.normal(size=(80, 16)), subsets=20).value)
    assert abs(np.mean(values)) < 4 * np.std(values, ddof=1) / np.sqrt(len(values))


def test_standard_error_is_the_spread_over_new_samples():
    values, errors = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        x, y = random.normal(size=(50, 8)), random.normal(0.5, 1.2, size=(70, 8))
        values.append(squared_mmd(x, y))
        errors.append(jackknife_error(x, y))
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.25)


def test_jackknife_equals_leave_one_out():
    x, y = FEATURES["both few"][0][:9].astype(float), FEATURES["both few"][1][:7].astype(float)
    without_x = np.array([squared_mmd(np.delete(x, i, 0), y) for i in range(len(x))])
    without_y = np.array([squared_mmd(x, np.delete(y, i, 0)) for i in range(len(y))])
    expected = np.sqrt((len(x) - 1) * without_x.var() + (len(y) - 1) * without_y.var())
    assert jackknife_error(x, y) == pytest.approx(expected, rel=1e-9)


def test_subsets_of_a_hundred_images_and_blocks_give_equal_values(monkeypatch):
    real, fake = FEATURES["few real"]
    whole = kernel_distance(real, fake)
    assert whole.subset_size == len(real) // 2
    monkeypatch.setattr(kid, "BLOCK", 17)
    assert kernel_distance(real, fake).standard_error == pytest.approx(whole.standard_error, rel=1e-9)


def test_subsets_come_from_a_separate_generator():
    real, fake = FEATURES["both few"]
    first = kernel_distance(real, fake)
    np.random.seed(3)  # noqa: NPY002
    assert kernel_distance(real, fake) == first
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    assert np.random.random() == drawn  # noqa: NPY002
    assert kernel_distance(real, fake, seed=1) != first


def test_bad_input_is_refused():
    real, fake = FEATURES["both few"]
    with pytest.raises(InputError, match="subsets of 51 images from sets of 50 and 60"):
        kernel_distance(real, fake, subset_size=51)
    fake = fake.copy()
    fake[3, 2] = np.inf
    with pytest.raises(InputError, match="1 of 60"):
        kernel_distance(real, fake)
