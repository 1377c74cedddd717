"""Times workloads in alternation, and builds result rows with targets."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Workload = Callable[[], object]


def interleaved(workloads: Mapping[str, Workload], repeats: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Return the seconds of each repetition by workload. Workloads alternate, so other load affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in workloads}
    for repeat in range(warm_up + repeats):
        for name, workload in workloads.items():
            synchronise()
            start = time.perf_counter()
            workload()
            synchronise()
            if repeat >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_milliseconds(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: round(1e3 * statistics.median(values), 3) for name, values in seconds.items()}


def median_ratio(numerator: list[float], denominator: list[float]) -> float:
    """Return the median over repetitions of the ratio of two consecutive measurements."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def target(name: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """Return a result row. A row without a bound is informational, and its target is always met."""
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    bounds = [f"<= {at_most}" if at_most is not None else "", f">= {at_least}" if at_least is not None else ""]
    return {"name": name, "value": round(value, 4), "target": " ".join(filter(None, bounds)) or None, "met": met}
