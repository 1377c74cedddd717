"""A good demo meets the acceptance criteria, and a missed or missing quantity is listed."""

from pathlib import Path

import pytest

from bench.plan import Plan
from bench.report.compare.acceptance import Criterion, acceptance_criteria
from bench.report.read.row import Row
from bench.report.read.scores import Scores
from tests.helpers import ROOT

GOOD = {
    "fewshot": {("fd_efflite0", "last"): 90.0, ("fd_efflite0", "untrained"): 100.0},
    "oneshot": {("ssim_reconstruction", "last"): 0.8, ("ssim_reconstruction", "control-bicubic"): 0.6},
    "classification": {("top1", "last"): 85.0, ("top1", "control-linear"): 84.0},
}


@pytest.fixture(scope="module")
def runs():
    return Plan.load(root=ROOT).runs("demo", "demo")


@pytest.fixture
def logs(runs, tmp_path):
    """Return logs(rss), which writes benchmark files with this memory in MiB and returns their folder."""

    def write(rss: str = "1000.0") -> Path:
        for run in runs:
            for job in ("train", "evaluate"):
                path = tmp_path / run.name / f"{job}.tsv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"s\tmax_rss\n5.0\t{rss}\n")
        return tmp_path

    return write


def good_scores(runs, **changed: float | None) -> Scores:
    """Return scores that meet all criteria, except those in `changed`, as metric@weights -> value."""
    rows = []
    for run in runs:
        for (metric, weights), good in GOOD[run.task].items():
            value = changed.get(f"{metric}@{weights}", good)
            status = "failed" if value is None else "ok"
            rows.append({"run": run.name, "metric": metric, "weights": weights, "value": value, "status": status})
    return Scores([Row.of(row) for row in rows])


def missed(criteria: list[Criterion]) -> list[Criterion]:
    return [criterion for criterion in criteria if not criterion.met]


def test_a_good_demo_meets_all_criteria(runs, logs):
    criteria = acceptance_criteria(runs, good_scores(runs), logs())
    assert len(criteria) == 52 and not missed(criteria)


@pytest.mark.parametrize(
    ("score", "value", "quantity", "reached"),
    [
        ("fd_efflite0@last", 91.0, "fd_efflite0, last / untrained", 0.91),
        ("fd_efflite0@untrained", 0.0, "fd_efflite0, last / untrained", None),
        ("fd_efflite0@untrained", None, "fd_efflite0, last / untrained", None),
        ("ssim_reconstruction@last", 0.74, "SSIM of the reconstruction", 0.74),
        ("ssim_reconstruction@control-bicubic", 0.71, "  minus bicubic upsampling", 0.09),
        ("top1@last", 84.5, "top-1 in percent", 84.5),
        ("top1@control-linear", 85.0, "  minus the linear classifier", 0.0),
    ],
)
def test_a_failed_criterion_has_its_value(runs, logs, score, value, quantity, reached):
    found = missed(acceptance_criteria(runs, good_scores(runs, **{score: value}), logs()))
    assert found and {criterion.quantity for criterion in found} == {quantity}
    expected = float("nan") if reached is None else reached
    assert found[0].value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("rss", ["3000.0", "-", ""])
def test_too_much_memory_and_no_measurement_fail_the_criterion(runs, logs, rss):
    found = missed(acceptance_criteria(runs, good_scores(runs), logs(rss)))
    assert len(found) == 2 * len(runs)


def test_a_missing_benchmark_file_fails_the_criterion(runs, logs):
    folder = logs()
    next(folder.rglob("train.tsv")).unlink()
    (found,) = missed(acceptance_criteria(runs, good_scores(runs), folder))
    assert found.quantity == "peak memory of train, GB"
