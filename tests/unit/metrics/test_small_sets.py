"""Datasets too small for some metrics. These metrics fail with a reason, and the others are scored."""

import numpy as np
import pytest

from tests.helpers import metric_runs
from tests.helpers.metric_runs import FEWSHOT, ONESHOT, evaluate

PRDC = {"precision_efflite0", "recall_efflite0", "density_efflite0", "coverage_efflite0"}
WIDE = tuple(dict.fromkeys((*FEWSHOT, *sorted(PRDC))))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_CACHE", str(tmp_path / "cache"))


def reasons(scores):
    """Return the reasons of failed scores. Failed scores have no value, and all others have one."""
    assert all((score.value is None) == (score.status == "failed") for score in scores.values())
    return {name: score.reason for name, score in scores.items() if score.status == "failed"}


def test_precision_and_recall_need_more_than_five_training_images(tmp_path):
    scores = evaluate(*metric_runs.fewshot(tmp_path, WIDE, n=5))
    words = "precision and recall with k=5 need more than 5 images, got 5 and 20"
    assert reasons(scores) == dict.fromkeys(PRDC, words)
    assert set(WIDE) <= set(scores)
    assert "fd_efflite0@untrained" in scores and "fd_efflite0@control-white" in scores


def test_one_training_image_allows_no_feature_metric(tmp_path):
    run, folder = metric_runs.fewshot(tmp_path, WIDE, n=1)
    scores = evaluate(run, folder)
    words = "reference set: at least 2 images are needed, got 1"
    assert reasons(scores) == dict.fromkeys(set(WIDE) - {"params", "macs"}, words)
    assert set(scores) == set(WIDE)


def test_identical_training_images_have_undefined_metrics(tmp_path):
    images = np.repeat(metric_runs.random_images(1, (64, 64)), 4, axis=0)
    found = reasons(evaluate(*metric_runs.fewshot(tmp_path, images=images)))
    assert found["diversity_efflite0"] == "diversity is undefined, because all 4 reference images are identical"
    assert found["memorisation_efflite0"] == ("memorisation is undefined, because all 4 training images are identical")
    assert set(found) == {"diversity_efflite0", "memorisation_efflite0", "precision_efflite0"}


def test_a_single_sample_has_no_diversity(tmp_path):
    run, folder = metric_runs.oneshot(tmp_path)
    scores = evaluate(metric_runs.evaluated(run, n_fake=1), folder)
    assert reasons(scores) == {"diversity": "diversity needs at least 2 samples, got 1"}
    assert set(ONESHOT) <= set(scores)
    assert scores["ssim_samples"].n == 1


def test_a_constant_source_image_has_no_diversity(tmp_path):
    scores = evaluate(*metric_runs.oneshot(tmp_path, images=np.full((1, 48, 60, 3), 90, np.uint8)))
    assert reasons(scores) == {"diversity": "diversity: the source image is constant, so its standard deviation is 0"}
    assert set(ONESHOT) <= set(scores)
