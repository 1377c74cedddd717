"""Cards of the claims at the top of the page.

A card shows the verdict on a claim. For the comparison that decides the verdict, the card also shows the mean scores of
both networks, the confidence interval of the improvement, and the power.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.claims import ReportSettings
from bench.report.compare.claims import NOT_TESTED, Decision, Finding, declared_tests
from bench.report.compare.paired import MatchedScores, match_scores
from bench.report.compare.power import MAX_PAIRS, POWER, Power, paired_power
from bench.report.compare.statistics import MIN_UNITS, Paired, compare_paired
from bench.report.read.names import format_p, format_value, metric_of
from bench.report.read.protocol_labels import score_label
from bench.report.read.scores import Scores
from bench.report.tables.significance import formatter, interval_text


@dataclass(frozen=True)
class Side:
    """Name of one network of a comparison, and its mean score as text."""

    name: str
    value: str


@dataclass(frozen=True)
class ClaimCard:
    """Content of a card. `slim` and `baseline` are None if no scores exist. `terms` are (label, text) pairs."""

    id: str
    title: str
    verdict: str
    costs: Sequence[str]
    metric: str = ""
    where: str = ""
    outcome: str = ""
    slim: Side | None = None
    baseline: Side | None = None
    terms: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        return self.verdict.replace(" ", "-")


def claim_card(decision: Decision, scores: Scores, settings: ReportSettings, costs: Sequence[str]) -> ClaimCard:
    """Return the card of a claim. If the claim is not tested, the card shows the first scores that concern it."""
    content: dict[str, Any] = {
        "id": decision.claim.id,
        "title": decision.claim.title,
        "verdict": decision.verdict,
        "costs": costs,
    }
    if decision.verdict == NOT_TESTED:
        return ClaimCard(**content, **_descriptive_fields(decision, scores, settings))
    deciding = [f for f in decision.findings if f.comparison.role == "verdict" and f.verdict == decision.verdict]
    return ClaimCard(**content, **_test_fields(deciding[0]))


def _test_fields(finding: Finding) -> dict[str, Any]:
    comparison = finding.comparison
    if finding.slim_mean is None or finding.baseline_mean is None:
        return {}
    sets = comparison.sets
    return _fields(
        (comparison.metric, comparison.protocol),
        sets[0] if len(sets) == 1 else f"{finding.datasets_found} of {len(sets)} datasets",
        ((comparison.slim, finding.slim_mean), (comparison.baseline, finding.baseline_mean)),
        _TestResult(finding.paired, finding.unit, finding.p_holm, finding.power, comparison.measure != "difference"),
    )


def _descriptive_fields(decision: Decision, scores: Scores, settings: ReportSettings) -> dict[str, Any]:
    for task in decision.claim.tasks:
        task_scores = scores.where(task=task)
        for metric in decision.claim.shown:
            for pair in settings.tasks[task].pairs:
                for dataset in task_scores.where(experiment=pair.slim).distinct("dataset"):
                    matched = match_scores(task_scores, settings, pair, metric, dataset)
                    if matched and not matched.conflict:
                        means = zip((pair.slim, pair.baseline), matched.means, strict=True)
                        result = _seed_result(matched, metric, settings)
                        return _fields((metric, matched.protocol), dataset, tuple(means), result)
    return {}


@dataclass(frozen=True)
class _TestResult:
    """Result of a paired comparison. `share`: whether differences are relative to the baseline."""

    paired: Paired
    unit: str
    p: float | None
    power: Power | None
    share: bool


def _seed_result(matched: MatchedScores, metric: str, settings: ReportSettings) -> _TestResult:
    share = metric_of(metric).relative or metric_of(metric).constant
    improvements = matched.improvements(share)
    power = paired_power(improvements, 0.0, settings.alpha / declared_tests(settings))
    return _TestResult(compare_paired(improvements), "seed", None, power, share)


def _fields(
    score: tuple[str, str], where: str, sides: Sequence[tuple[str, float]], result: _TestResult
) -> dict[str, Any]:
    metric, protocol = score
    form = formatter(metric, result.share)
    paired, constant = result.paired, metric_of(metric).constant
    too_few = f"needs {MIN_UNITS} {result.unit}s"
    gain = paired.mean
    change = "not comparable" if gain is None else "equal" if gain == 0 else f"{'better' if gain > 0 else 'worse'} by"
    slim, baseline = (Side(name, format_value(metric, value)) for name, value in sides)
    terms = [("n", f"{paired.n} {result.unit}{'' if paired.n == 1 else 's'}")]
    if constant:
        terms += [("95 % CI", "none: the value does not depend on the seed"), ("power", "no test")]
    else:
        terms += [("95 % CI", interval_text(paired.low, paired.high, form) or too_few)]
        terms += [("p (Holm)", format_p(result.p))] if result.p is not None else []
        terms += [("power", _power(result, form, too_few))]
    return {
        "metric": score_label(metric, protocol),
        "where": where,
        "outcome": f"{change} {form(abs(gain))}" if gain else change,
        "slim": slim,
        "baseline": baseline,
        "terms": tuple(terms),
    }


def _power(result: _TestResult, form: Callable[[float], str], too_few: str) -> str:
    power = result.power
    if power is None:
        return too_few if result.paired.n < MIN_UNITS else "not computable: all differences are equal"
    text = f"detects {form(power.detectable)} with probability {POWER:g}"
    if power.more == 0:
        return text
    more = f"more than {MAX_PAIRS}" if power.more is None else f"{power.more} more"
    return f"{text}; {more} {result.unit}s for the observed difference"
