"""A measurement of one metric, and its conversion to a score."""

import time
from dataclasses import dataclass, field
from typing import Any

from bench.metrics.catalogue import METRICS
from bench.metrics.protocol import protocol_id
from bench.score import Score


@dataclass(frozen=True)
class Measurement:
    """Value of a metric, or the `reason` why the value is undefined, with further results of the computation.

    `parts`: protocol parts after the metric's name; `seconds`: total time of the metric's computations.
    """

    metric: str
    value: float | None
    parts: tuple[str, ...]
    n: int | None = None
    seconds: float | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        return protocol_id(self.metric, *self.parts)

    def score(self, **source: Any) -> Score:
        """Return the score with its unit and direction. `source`: fields about the scored object and the machine."""
        measured = {name: value for name, value in vars(self).items() if name != "parts"}
        return _score(**measured, protocol=self.protocol, **source)


def failed_score(metric: str, reason: str, **source: Any) -> Score:
    """Return the score of a planned metric that could not be measured."""
    return _score(metric=metric, value=None, protocol="", status="failed", reason=reason, **source)


def _score(**fields: Any) -> Score:
    kind = METRICS[fields["metric"]]
    return Score(**fields, unit=kind.unit, direction=kind.direction)


class Clock:
    """Timer that starts when it is created. `seconds` is the elapsed time."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 4)
