"""Precision and recall equal torch-fidelity; coverage, memorisation and diversity of hand-calculated cases."""

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.metrics import memorisation as memorisation_module
from bench.metrics import prdc
from bench.metrics.diversity import feature_diversity, pixel_diversity, relative_diversity
from bench.metrics.memorisation import memorisation, nearest_distinct
from bench.metrics.prdc import distances, neighbour_distance, precision_recall
from tests.helpers.metric_cases import FEATURES


@pytest.mark.parametrize("name", ["full rank", "few real", "rank deficient"])
def test_precision_and_recall_equal_torch_fidelity(name):
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = (torch.from_numpy(x).double() for x in FEATURES[name])
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=1000, verbose=False)
    ours = precision_recall(real.numpy(), fake.numpy(), k=3)
    assert ours.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], abs=1e-6)


def test_precision_and_recall_have_hand_calculated_values():
    """Points on a line with k = 1, for which the balls can be counted."""
    real = np.array([[0.0], [1.0], [3.0]])  # radii 1, 1, 2: balls [-1, 1], [0, 2], [1, 5]
    fake = np.array([[0.5], [4.0], [9.0], [9.5]])  # radii 3.5, 3.5, .5, .5
    result = precision_recall(real, fake, k=1)
    assert result.precision == 2 / 4
    assert result.density == (2 + 1) / 4
    assert result.coverage == 3 / 3
    assert result.recall == 3 / 3


def test_blocks_of_samples_do_not_change_memorisation(monkeypatch):
    real, fake = FEATURES["full rank"]
    whole = memorisation(real, fake)
    monkeypatch.setattr(memorisation_module, "MAX_DISTANCES", 1)
    monkeypatch.setattr(memorisation_module, "BLOCK", 7)
    blocks = memorisation(real, fake)
    assert (blocks.nearest == whole.nearest).all() and np.allclose(blocks.distance, whole.distance)


def test_blocks_do_not_change_the_result(monkeypatch):
    real, fake = FEATURES["full rank"]
    whole = precision_recall(real, fake)
    monkeypatch.setattr(prdc, "BLOCK", 37)
    assert precision_recall(real, fake) == whole


def test_distances_equal_numpy():
    x, y = FEATURES["both few"]
    expected = np.linalg.norm(x[:, None].astype(float) - y[None], axis=2)
    assert np.allclose(distances(x.astype(float), y.astype(float)), expected, rtol=1e-9)
    own = np.linalg.norm(x[:, None].astype(float) - x[None], axis=2)
    assert np.allclose(neighbour_distance(x.astype(float), 2), np.sort(own, axis=1)[:, 2], rtol=1e-6)


def test_copies_are_memorised_and_distant_images_are_not():
    real = FEATURES["both few"][0].astype(float)
    copied = memorisation(real, real[:10] + 1e-3)
    assert copied.share == 1
    assert (copied.nearest == np.arange(10)).all()
    far = memorisation(real, real[:10] + 100)
    assert far.share == 0
    assert far.median_ratio > 10


@pytest.mark.parametrize("noise", [0, 1e-6])
def test_copies_of_a_duplicated_training_image_are_memorised(noise):
    """Equal pixels give equal features up to float32 rounding."""
    real = FEATURES["both few"][0].astype(float)
    twice = np.concatenate([real, real[:25] * (1 + noise)])
    assert memorisation(twice, real[:25]).share == 1
    samples = real[:25] + 0.3 * np.random.default_rng(0).normal(size=real[:25].shape)
    once, doubled = memorisation(real, samples), memorisation(twice, samples)
    assert doubled.share == once.share
    assert doubled.median_ratio == pytest.approx(once.median_ratio, rel=1e-4)


def test_nearest_distinct_ignores_copies(monkeypatch):
    x = np.array([[3.0], [1.0], [3.0 + 1e-6], [7.0], [1.0]])
    assert nearest_distinct(x) == pytest.approx([2, 2, 2, 4, 2])
    monkeypatch.setattr(memorisation_module, "BLOCK", 2)
    assert nearest_distinct(x) == pytest.approx([2, 2, 2, 4, 2])


def test_a_set_of_copies_of_one_image_is_refused():
    real = np.repeat(FEATURES["both few"][0][:1], 4, axis=0)
    with pytest.raises(InputError, match="all 4 training images are identical"):
        memorisation(real, real[:2])
    with pytest.raises(InputError, match="all 4 reference images are identical"):
        relative_diversity(real, FEATURES["both few"][1])
    value, own = relative_diversity(*FEATURES["both few"])
    assert value * own == pytest.approx(feature_diversity(FEATURES["both few"][1]))


def test_feature_diversity_is_the_mean_pairwise_distance():
    assert feature_diversity(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx((5 + 0 + 5) / 3)


def test_pixel_diversity_is_zero_for_copies_and_one_for_independent_images():
    random = torch.Generator().manual_seed(0)
    source = torch.randint(0, 256, (1, 3, 20, 30), generator=random, dtype=torch.uint8)
    assert pixel_diversity(source.expand(5, -1, -1, -1), source) == 0
    independent = torch.randint(0, 256, (200, 3, 20, 30), generator=random, dtype=torch.uint8)
    assert pixel_diversity(independent, source) == pytest.approx(1, abs=0.05)
    with pytest.raises(InputError, match="at least 2 samples, got 1"):
        pixel_diversity(source, source)
    with pytest.raises(InputError, match="constant"):
        pixel_diversity(independent, torch.zeros_like(source))


def test_too_few_images_for_k_are_refused():
    with pytest.raises(InputError, match="more than 5 images, got 50 and 4"):
        precision_recall(FEATURES["both few"][0], FEATURES["both few"][1][:4])
