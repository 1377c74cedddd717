"""Fréchet distance: closed forms, values of clean-fid and torch-fidelity, both algorithms."""

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.metrics import frechet
from bench.metrics.frechet import frechet_curve, frechet_distance
from tests.helpers.metric_cases import FEATURES as CASES
from tests.helpers.metric_cases import TOLERANCE, committed


def whitened(n: int, dim: int, seed: int) -> np.ndarray:
    """Return rows with sample mean 0 and unbiased sample covariance equal to the identity, up to rounding."""
    x = np.random.default_rng(seed).normal(size=(n, dim))
    x -= x.mean(axis=0)
    return np.linalg.qr(x)[0] * np.sqrt(n - 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_frechet_distance_equals_clean_fid(name):
    fid = pytest.importorskip("cleanfid.fid", reason="not installed with SciPy 1.18 or newer")
    real, fake = CASES[name]
    theirs = fid.fid_from_feats(real.astype(np.float64), fake.astype(np.float64))
    assert frechet_distance(real, fake) == pytest.approx(float(np.real(theirs)), rel=TOLERANCE[name])


@pytest.mark.parametrize("name", CASES)
def test_frechet_distance_equals_torch_fidelity(name):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(x).double()) for x in CASES[name]]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(*CASES[name]) == pytest.approx(theirs, rel=TOLERANCE[name])


@pytest.mark.parametrize("name", CASES)
def test_frechet_distance_equals_committed_values_of_clean_fid(name):
    assert frechet_distance(*CASES[name]) == pytest.approx(committed()["frechet"][name], rel=TOLERANCE[name])


@pytest.mark.parametrize("name", CASES)
def test_the_distance_of_a_set_to_itself_is_zero(name):
    for x in CASES[name]:
        assert abs(frechet_distance(x, x)) < 1e-6
        assert abs(frechet_distance(x, x[::-1])) < 1e-6


@pytest.mark.parametrize(("n", "m", "dim"), [(200, 300, 32), (40, 300, 32), (33, 33, 32)])
def test_closed_form_of_exact_moments(n, m, dim):
    """The distance of N(mu, s^2 I) and N(nu, t^2 I) is |mu - nu|^2 + D (s - t)^2."""
    mean = np.linspace(-1, 1, dim)
    value = frechet_distance(1.5 * whitened(n, dim, 1) + mean, 0.5 * whitened(m, dim, 2))
    assert value == pytest.approx(mean @ mean + dim * 1.0**2, rel=1e-8)


def test_closed_form_of_diagonal_covariances():
    spread = np.linspace(0.1, 3, 24), np.linspace(2, 0.5, 24)
    x, y = whitened(100, 24, 1) * spread[0], whitened(200, 24, 2) * spread[1]
    assert frechet_distance(x, y) == pytest.approx(((spread[0] - spread[1]) ** 2).sum(), rel=1e-8)


def test_many_images_use_eigenvalues_only_if_exact(monkeypatch):
    """With full rank, eigenvalues and singular values agree. Rank-deficient sets fail the bound or the solver."""
    taken = []
    cheap = frechet._from_eigenvalues
    monkeypatch.setattr(frechet, "_from_eigenvalues", lambda *s: taken.append(cheap(*s)) or taken[-1])
    values = {name: frechet_distance(*CASES[name]) for name in ("full rank", "rank deficient")}
    assert taken[0] is not None
    assert taken[1] is None
    monkeypatch.setattr(frechet, "_from_eigenvalues", lambda *_: None)
    assert frechet_distance(*CASES["full rank"]) == pytest.approx(values["full rank"], rel=1e-9)
    assert frechet_distance(*CASES["rank deficient"]) == pytest.approx(values["rank deficient"], rel=1e-9)


def test_frechet_distance_is_symmetric_and_independent_of_order():
    real, fake = CASES["few real"]
    value = frechet_distance(real, fake)
    assert frechet_distance(fake, real) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(real[::-1], fake[::-1]) == pytest.approx(value, rel=1e-12)


def test_frechet_distance_is_deterministic():
    for pair in CASES.values():
        assert frechet_distance(*pair) == frechet_distance(*pair)


def test_small_matrices_use_one_thread_and_restore_the_thread_count():
    before = torch.get_num_threads()
    values = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            values.append(frechet_distance(*CASES["few real"]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert values[0] == values[1]


def test_curve_uses_the_first_generated_images():
    real, fake = CASES["few real"]
    curve = frechet_curve(real, fake, [50, 300, 400])
    assert [n for n, _ in curve] == [50, 300]
    assert curve[0][1] == pytest.approx(frechet_distance(real, fake[:50]), rel=1e-9)
    assert curve[0][1] > curve[1][1]  # the distance decreases with the number of images


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), "at least 2 images are needed, got 1"),
        (np.full((5, 4), np.nan), np.zeros((5, 4)), "5 of 5"),
        (np.zeros((5, 4)), np.zeros((5, 6)), "4 and 6 dimensions"),
        (np.zeros(5), np.zeros((5, 4)), r"\(5,\)"),
    ],
)
def test_bad_features_are_refused_with_the_numbers(real, fake, words):
    with pytest.raises(InputError, match=words):
        frechet_distance(real, fake)
