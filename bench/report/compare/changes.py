"""Finds scores that differ by more than noise between two results, such as the results of two commits or machines.

Scores with the same experiment, dataset, metric and weights are compared. With two or more seeds on both sides, the
noise is the variation over seeds, and the test is Welch's t test with Holm's correction. With a single seed, only the
confidence intervals over images can be compared. These intervals exclude the variation over seeds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.errors import InputError
from bench.report.compare.reference import Agreement
from bench.report.compare.statistics import holm, mean_of
from bench.report.read.names import metric_of
from bench.report.read.row import MACHINE_TIMES, Row
from bench.report.read.scores import Scores

ALPHA = 0.05
State = Literal["changed", "not comparable", "only in A", "only in B", "undetermined", "within noise", "equal"]
STATES: tuple[State, ...] = get_args(State)
"""All states, in the order of the tables."""
Key = tuple[str, str, str, str]
"""Experiment, dataset, metric and weights."""


@dataclass(frozen=True)
class Change:
    """Comparison of one score. `first`, `second`: means over seeds. `seeds`: number of finite scores per side."""

    experiment: str
    dataset: str
    metric: str
    weights: str
    state: State
    first: float | None = None
    second: float | None = None
    seeds: tuple[int, int] = (0, 0)
    p: float | None = None
    reason: str = ""


def find_changes(first: Scores, second: Scores) -> list[Change]:
    """Return the comparison of every score, changed scores first. Raises InputError if A and B share no score."""
    left, right = _groups(first), _groups(second)
    if not left.keys() & right.keys():
        raise InputError("the two results have no score of the same experiment, dataset, metric and weights")
    changes = [_change(key, left.get(key, []), right.get(key, [])) for key in {**left, **right}]
    corrected = holm([change.p for change in changes])
    tested = [
        change if p is None else replace(change, p=p, state="changed" if p < ALPHA else "within noise")
        for change, p in zip(changes, corrected, strict=True)
    ]
    return sorted(tested, key=lambda change: STATES.index(change.state))


def _groups(scores: Scores) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in scores:
        if row.metric not in MACHINE_TIMES:
            found.setdefault((row.experiment, row.dataset, row.metric, row.weights), []).append(row)
    return found


def _change(key: Key, first: list[Row], second: list[Row]) -> Change:
    """Compare the scores of one key. The p value of a tested change is uncorrected, and the state is provisional."""
    left, right = _finite(first), _finite(second)
    change = Change(
        *key,
        state="undetermined",
        first=mean_of(left) if left else None,
        second=mean_of(right) if right else None,
        seeds=(len(left), len(right)),
    )
    if not left or not right:
        rows = second if not right else first
        reason = next((row.reason or row.status for row in rows if not row.ok), "no such score")
        state: State = "only in A" if left else "only in B" if right else "equal"
        return replace(change, state=state, reason=reason)
    for name, label in (("protocol", "protocols"), ("data_sha256", "data")):
        one, two = ({str(getattr(row, name)) for row in rows if row.ok} for rows in (first, second))
        if one != two:
            return replace(change, state="not comparable", reason=f"{label} differ: {_join(one)} and {_join(two)}")
    if left == right:
        return replace(change, state="equal")
    if metric_of(key[2]).constant:
        return replace(change, state="changed", reason="the value is the same for every seed")
    if len(left) > 1 and len(right) > 1:
        return replace(change, p=welch(left, right))
    return _compare_intervals(change, first, second)


def _compare_intervals(change: Change, first: list[Row], second: list[Row]) -> Change:
    """Compare the confidence intervals over images of two scores with a single seed each."""
    bounds = [
        (row.interval_low, row.interval_high)
        for rows in (first, second)
        for row in rows
        if row.ok and row.value is not None
    ]
    if len(bounds) != 2 or any(low is None or high is None for low, high in bounds):
        return replace(change, reason="needs at least two seeds on both sides")
    (low, high), (other_low, other_high) = bounds
    assert low is not None and high is not None and other_low is not None and other_high is not None
    disjoint = high < other_low or other_high < low
    reason = "intervals over images " + ("are disjoint" if disjoint else "overlap") + "; one seed"
    return replace(change, state="changed" if disjoint else "within noise", reason=reason)


def agreement_changes(agreements: list[Agreement]) -> list[Change]:
    """Return the comparison with reference results as changes. A value outside its tolerance counts as changed."""
    states: Mapping[str, State] = {"within": "within noise", "outside": "changed", "missing": "only in B"}
    found = []
    for agreement in agreements:
        expected = agreement.expected
        experiment, dataset, seed = expected.run.split("/")
        reason = agreement.reason or f"tolerance {expected.tolerance:.3g}"
        state: State = "equal" if agreement.value == expected.mean else states[agreement.state]
        seeds = (int(agreement.value is not None), 1)
        change = Change(
            experiment,
            f"{dataset}, {seed}",
            expected.metric,
            expected.weights,
            state,
            agreement.value,
            expected.mean,
            seeds,
            reason=reason,
        )
        found.append(change)
    return sorted(found, key=lambda change: STATES.index(change.state))


def welch(first: list[float], second: list[float]) -> float:
    """Return the two-sided p value of Welch's t test. If both sides are constant, p is 0 if they differ, else 1."""
    if len({*first}) == 1 and len({*second}) == 1:
        return 0.0 if first[0] != second[0] else 1.0
    from scipy import stats

    return float(stats.ttest_ind(first, second, equal_var=False).pvalue)


def _finite(rows: list[Row]) -> list[float]:
    ordered = sorted(rows, key=lambda row: row.seed)
    return [row.value for row in ordered if row.ok and row.value is not None and math.isfinite(row.value)]


def _join(values: set[str]) -> str:
    return " or ".join(sorted(value if "/" in value else value[:12] for value in values))
