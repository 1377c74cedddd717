import pytest

from bench.evaluate.measurement import Measurement, failed_score
from bench.metrics.catalogue import METRICS

SOURCE = {"seed": 3, "run": "r", "run_sha256": "0" * 64, "weights": "best"}


def test_a_measurement_becomes_a_score_with_unit_direction_and_id():
    number = Measurement("top1", 50.0, ("whole28", "test8"), n=8, interval=(20.0, 80.0), details={"x": 1})
    score = number.score(**SOURCE)
    assert (score.value, score.unit, score.direction, score.status) == (50.0, "%", "higher", "ok")
    assert score.protocol == number.protocol == "top1/whole28/test8"
    assert (score.n, score.interval, score.details) == (8, (20.0, 80.0), {"x": 1})
    assert (score.seed, score.run, score.weights) == (3, "r", "best")


@pytest.mark.parametrize("metric", METRICS)
def test_a_failed_measurement_has_its_reason(metric):
    score = failed_score(metric, "too small", **SOURCE)
    assert (score.metric, score.value, score.status, score.reason) == (metric, None, "failed", "too small")
    assert (score.unit, score.direction) == (METRICS[metric].unit, METRICS[metric].direction)
