"""The bootstrap error of the Fréchet distance equals that of resampled features, in every shape of the two sets."""

import numpy as np
import pytest

from bench.metrics.frechet import frechet_distance
from bench.metrics.frechet_error import Resampled, frechet_standard_error


def features(n, dim, seed):
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(dim, dim)) / dim**0.5
    return (random.normal(size=(n, dim)) @ mixing + seed / 4).astype(np.float32)


@pytest.mark.parametrize(
    ("n", "m", "dim"), [(20, 50, 64), (50, 20, 64), (200, 90, 16), (90, 200, 16), (40, 10, 16), (5, 3, 8)]
)
def test_a_bootstrap_replicate_is_the_distance_of_the_resampled_images(n, m, dim):
    real, fake = features(n, dim, 1), features(m, dim, 2)
    distance = Resampled(real, fake)
    assert distance(np.ones(m, int)) == pytest.approx(frechet_distance(real, fake), rel=1e-6)
    for seed in range(3):
        rows = np.random.default_rng(seed).integers(m, size=m)
        if len(set(rows)) > 1:
            expected = frechet_distance(real, fake[rows])
            assert distance(np.bincount(rows, minlength=m)) == pytest.approx(expected, rel=1e-5)


def test_the_error_is_the_spread_between_independent_sets():
    """The standard deviation of the distance over freshly drawn sets, within the noise of 60 such sets."""
    real = features(300, 12, 1)
    values = [frechet_distance(real, draw(seed)) for seed in range(60)]
    assert frechet_standard_error(real, draw(99)) == pytest.approx(np.std(values, ddof=1), rel=0.35)


def draw(seed):
    mixing = np.random.default_rng(0).normal(size=(12, 12)) / 12**0.5
    return (np.random.default_rng(1000 + seed).normal(size=(400, 12)) @ mixing + 0.5).astype(np.float32)


def test_copies_of_one_image_have_no_error():
    real, fake = features(20, 8, 1), np.repeat(features(1, 8, 2), 30, axis=0)
    assert frechet_standard_error(real, fake) == pytest.approx(0, abs=1e-5)
