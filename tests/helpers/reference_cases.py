"""Made-up scores of few runs, and reference results for them."""

from typing import Any

from bench.paths import run_name
from bench.report.compare.reference import HeldOutSetting, ReferenceResults, ReferenceScore, comparable_rows
from bench.report.read.row import Row
from bench.report.read.scores import Scores

Values = dict[tuple[str, int, str, str], float | None]
"""(experiment, seed, metric, weights) -> value; None for a score that is missing."""


def made_scores(values: Values, dataset: str = "emoji", **changes: Any) -> Scores:
    """Return scores with these values, all of one protocol unless `changes` has another."""
    rows = []
    for (experiment, seed, metric, weights), value in values.items():
        status = {"status": "ok"} if value is not None else {"status": "failed", "reason": "not finite"}
        row = {"run": run_name(experiment, dataset, seed), "experiment": experiment, "dataset": dataset, "seed": seed}
        row |= {"metric": metric, "weights": weights, "value": value, "protocol": f"{metric}/made-up", "n": 250.0}
        rows.append(Row.of(row | status | {"torch": "2.0"} | changes))
    return Scores(rows)


def reference_to(scores: Scores, tolerance: float, scale: str = "demo") -> ReferenceResults:
    """Return reference results with the present values as means."""
    rows = [row for row in comparable_rows(scores).values() if row.value is not None]
    expected = [
        ReferenceScore(
            run=row.run,
            metric=row.metric,
            weights=row.weights,
            protocol=row.protocol,
            n=None,
            mean=float(row.value),
            tolerance=tolerance,
        )
        for row in rows
    ]
    return ReferenceResults(
        schema_version=1,
        scale=scale,
        commit="c0ffee",
        torch="2.0",
        cpu="made-up",
        settings={"native": {}, "default-sse41": {"ATEN_CPU_CAPABILITY": "default"}},
        left_out=HeldOutSetting(name="avx2-sse41", variables={}, within=0, scores=0),
        scores=tuple(expected),
    )
