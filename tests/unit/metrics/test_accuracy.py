"""Accuracy and calibration equal torchmetrics; confidence intervals equal published values; Inception score."""

import numpy as np
import pytest
import torch
from scipy import stats

from bench.errors import InputError
from bench.metrics.accuracy import confusion_matrix, per_class, top_k, wilson_interval
from bench.metrics.calibration import calibration_error, calibration_interval, reliability
from bench.metrics.inception_score import inception_score

LOGITS = 2 * torch.randn(500, 10, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 10, (500,), generator=torch.Generator().manual_seed(1))
LOGITS[torch.arange(500), LABELS] += 2


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_equals_torchmetrics(k):
    from torchmetrics.functional.classification import multiclass_accuracy

    theirs = multiclass_accuracy(LOGITS, LABELS, num_classes=10, top_k=k, average="micro")
    assert top_k(LOGITS, LABELS, k) == pytest.approx(100 * theirs.item(), abs=1e-4)


def test_confusion_and_classes_equal_torchmetrics():
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    ours = confusion_matrix(LOGITS, LABELS)
    assert (ours == multiclass_confusion_matrix(LOGITS, LABELS, num_classes=10)).all()
    right = per_class(ours)
    assert np.average(right, weights=ours.sum(dim=1)) == pytest.approx(top_k(LOGITS, LABELS, 1))
    assert per_class(torch.tensor([[2, 2], [0, 0]])) == [50.0, None]


def test_calibration_error_equals_torchmetrics():
    from torchmetrics.functional.classification import multiclass_calibration_error

    theirs = multiclass_calibration_error(LOGITS, LABELS, num_classes=10, n_bins=15, norm="l1")
    assert calibration_error(LOGITS, LABELS, 15) == pytest.approx(100 * theirs.item(), abs=1e-3)
    assert sum(count for count, _, _ in reliability(LOGITS, LABELS)) == 500


def test_a_calibrated_network_has_a_small_error():
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(20_000, 4, generator=random)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=random)[:, 0]
    assert calibration_error(logits, labels) < 1.5
    assert calibration_error(5 * logits, labels) > 15


def test_calibration_interval_is_as_wide_as_test_sets_differ():
    """Compared with the spread of the error over 200 separate test sets."""
    random = torch.Generator().manual_seed(6)
    logits = torch.randn(200 * 400, 4, generator=random)
    labels = torch.multinomial((logits / 3).softmax(dim=1), 1, generator=random)[:, 0]  # over-confident
    sets = list(zip(logits.split(400), labels.split(400), strict=True))
    low, high = calibration_interval(*sets[0])
    assert low < calibration_error(*sets[0]) < high
    assert calibration_interval(*sets[0]) == (low, high)
    spread = np.std([calibration_error(*one) for one in sets])
    assert (high - low) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.25)
    certain = torch.eye(4).repeat(5, 1) * 1000
    assert calibration_interval(certain, torch.arange(4).repeat(5)) == (0, 0)


def test_wilson_interval_equals_published_values():
    """Values of Newcombe 1998, table I, for 81 of 263 and 0 of 20."""
    assert wilson_interval(100 * 81 / 263, 263) == pytest.approx((25.53, 36.62), abs=0.01)
    for right, n in ((0, 1), (1, 3), (17, 40), (9_131, 10_000), (50, 50)):
        theirs = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
        assert wilson_interval(100 * right / n, n) == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=1e-5)
    low, high = wilson_interval(0.0, 20)
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(16.11, abs=0.01)
    assert min(wilson_interval(0.0, n)[0] for n in range(1, 200)) == 0  # no -0 by rounding
    assert max(wilson_interval(100.0, n)[1] for n in range(1, 200)) == 100


def test_inception_score_equals_torch_fidelity():
    from torch_fidelity.metric_isc import isc_features_to_metric

    for splits in (1, 10):
        theirs = isc_features_to_metric(LOGITS, splits=splits, shuffle=False)
        mean, spread = inception_score(LOGITS.numpy(), splits=splits)
        assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
        assert spread == pytest.approx(theirs["inception_score_std"], abs=1e-9)


def test_inception_score_of_certain_and_of_uniform_predictions():
    assert inception_score(np.eye(8) * 1000)[0] == pytest.approx(8)
    assert inception_score(np.zeros((8, 8)))[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 1, 4]), "labels range from 0 to 4, but the network has 4 classes"),
        (torch.full((3, 4), torch.nan), torch.tensor([0, 1, 2]), "3 of 3 rows"),
        (torch.zeros(3, 4), torch.tensor([0, 1]), r"\(3, 4\) and \(2,\)"),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), "no test images"),
    ],
)
def test_bad_predictions_are_refused(logits, labels, words):
    with pytest.raises(InputError, match=words):
        top_k(logits, labels, 1)
