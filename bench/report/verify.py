"""Compares results with the reference results of their scale, and demo results also with acceptance criteria."""

import math
from collections import Counter
from pathlib import Path

from bench.errors import InputError
from bench.paths import RUNS
from bench.plan import Plan
from bench.report.compare.acceptance import ACCEPTED_SCALE, Criterion, acceptance_criteria
from bench.report.compare.reference import Agreement, agreements, comparable_rows, read_reference
from bench.report.read.scores import Scores, read_scores
from bench.terminal import one_line

HEADINGS = ("run", "metric", "weights", "value", "reference", "state")


def print_verification(scale_dir: Path) -> None:
    """Print each score with its reference, each criterion, and a summary in the last line.

    A score outside its tolerance or a missed criterion is not an error. If the reference file is missing or damaged,
    only the criteria are printed, and InputError is raised afterwards.
    """
    scale = scale_dir.name
    scores = read_scores(scale_dir / "scores.csv")
    criteria = _criteria(scale, scores)
    found: list[Agreement] = []
    problem = None
    try:
        found = agreements(scores, read_reference(scale).scores)
    except InputError as error:
        problem = error
    if found:
        _print_scores(found)
        compared = {agreement.expected.key for agreement in found}
        others = sum(row.ok and key not in compared for key, row in comparable_rows(scores).items())
        if others:
            print(f"{others} other scores are not in the reference")
    _print_criteria(criteria)
    if found or criteria:
        print(_summary(scale, found, criteria))
    if problem is not None:
        raise problem


def _criteria(scale: str, scores: Scores) -> list[Criterion]:
    if scale != ACCEPTED_SCALE:
        return []
    return acceptance_criteria(Plan.load().runs(scale, scale), scores, Path("logs") / scale / RUNS)


def _print_scores(found: list[Agreement]) -> None:
    rows = [HEADINGS, *(_cells(agreement) for agreement in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(agreement: Agreement) -> tuple[str, ...]:
    expected = agreement.expected
    value = "" if agreement.value is None else f"{agreement.value:.7g}"
    state = f"{agreement.state}: {agreement.reason}" if agreement.reason else agreement.state
    reference = f"{expected.mean:.7g} ± {expected.tolerance:.2g}"
    return tuple(map(one_line, (expected.run, expected.metric, expected.weights, value, reference, state)))


def _print_criteria(criteria: list[Criterion]) -> None:
    for criterion in criteria:
        value = "missing" if math.isnan(criterion.value) else f"{criterion.value:.3f}"
        mark = "ok  " if criterion.met else "FAIL"
        bound = f"{criterion.relation} {criterion.bound:g}"
        print(f"{mark} {criterion.run:<45}{criterion.quantity:<31}{value:>8}  {bound}")


def _summary(scale: str, found: list[Agreement], criteria: list[Criterion]) -> str:
    parts = []
    if found:
        count = Counter(agreement.state for agreement in found)
        parts.append(
            f"{count['within']} of {len(found)} scores within tolerance, "
            f"{count['outside']} outside, {count['missing']} missing"
        )
    if criteria:
        parts.append(f"{sum(criterion.met for criterion in criteria)} of {len(criteria)} criteria met")
    return f"{scale}: {'; '.join(parts)}"
