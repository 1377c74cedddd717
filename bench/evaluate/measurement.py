"""One number as the tasks measure it, and the score that becomes of it."""

import time
from dataclasses import dataclass, field
from typing import Any

from bench.metrics.catalogue import METRICS
from bench.metrics.protocol import protocol_id
from bench.score import Score


@dataclass(frozen=True)
class Measurement:
    """A metric's value, or the `reason` why it is not defined, with everything that the run does not say already.

    `parts`: of the protocol id, after the metric's name; `seconds`: of everything that had to be computed for it.
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
        """The score with its unit and direction; `source`: what was scored, and where, as fields of the score."""
        measured = {name: value for name, value in vars(self).items() if name != "parts"}
        return _score(**measured, protocol=self.protocol, **source)


def failed_score(metric: str, reason: str, **source: Any) -> Score:
    """In place of a score that was asked for and could not be measured."""
    return _score(metric=metric, value=None, protocol="", status="failed", reason=reason, **source)


def _score(**fields: Any) -> Score:
    kind = METRICS[fields["metric"]]
    return Score(**fields, unit=kind.unit, direction=kind.direction)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 4)
