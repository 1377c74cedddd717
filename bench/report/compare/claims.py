"""Verdicts on the abstract's claims: supported, contradicted, inconclusive, or not tested at this scale.

A verdict needs the scale and all datasets named in config/claims.yaml, and enough seeds on each dataset. The units of a
test are datasets, whose scores are averaged over seeds. If the comparison has fewer than three datasets, the units are
seeds. A claim is supported if all its comparisons are supported, and contradicted if one comparison is contradicted.
Controls are tested without correction and do not affect the verdict. The t test decides the verdict, as pre-registered.
The report also shows the exact sign-flip test and the power of the t test.
"""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bench.claims import Claim, Comparison, Pair, ReportSettings
from bench.metrics.protocol import same_protocol, without_dataset_parts
from bench.report.compare.paired import improvement, match_scores
from bench.report.compare.power import Power, paired_power, sign_flip_test, smallest_exact_p
from bench.report.compare.statistics import MIN_UNITS, Paired, compare_paired, holm, summarise
from bench.report.read.scores import Scores

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
NOT_TESTED = "not tested at this scale"
WORST_FIRST = (NOT_TESTED, CONTRADICTED, INCONCLUSIVE, SUPPORTED)
"""Verdicts, worst first. A claim has the worst verdict of its comparisons, excluding controls."""


@dataclass(frozen=True)
class Finding:
    """Result of one comparison. SLIM is better if `paired.mean` > 0. `refused`: excluded datasets with reasons.

    `power` is the power of the t test at the significance level of the first step of Holm's correction.
    """

    comparison: Comparison
    paired: Paired
    unit: str
    slim_mean: float | None
    baseline_mean: float | None
    datasets_found: int
    seeds: int
    refused: tuple[str, ...] = ()
    differences: tuple[float, ...] = ()
    p_holm: float | None = None
    p_exact: float | None = None
    power: Power | None = None
    verdict: str = INCONCLUSIVE
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    claim: Claim
    verdict: str
    reason: str
    findings: tuple[Finding, ...]


def decide_claims(scores: Scores, settings: ReportSettings, scale: str) -> list[Decision]:
    """Return the verdict on each claim.

    Holm's correction counts all declared tests, including those without results.
    """
    findings = [[_find(scores, settings, comparison) for comparison in claim.comparisons] for claim in settings.claims]
    tested = [f.paired.p if _is_tested(f.comparison) else None for group in findings for f in group]
    declared = declared_tests(settings)
    corrected = iter(holm(tested, family=declared))
    decisions = []
    for claim, group in zip(settings.claims, findings, strict=True):
        corrected_group = [replace(finding, p_holm=next(corrected)) for finding in group]
        with_power = [_with_power(finding, settings.alpha / declared) for finding in corrected_group]
        decided = tuple(_decide(finding, settings, scale) for finding in with_power)
        deciding = [finding for finding in decided if finding.comparison.role == "verdict"]
        verdict = next(v for v in WORST_FIRST if any(f.verdict == v for f in deciding))
        reasons = dict.fromkeys(f.reason for f in deciding if f.verdict == verdict and f.reason)
        decisions.append(Decision(claim, verdict, "; ".join(reasons), decided))
    return decisions


def declared_tests(settings: ReportSettings) -> int:
    """Return the number of tests that Holm's correction counts."""
    return sum(_is_tested(comparison) for claim in settings.claims for comparison in claim.comparisons)


def _is_tested(comparison: Comparison) -> bool:
    return comparison.role == "verdict" and comparison.measure != "constant"


def _with_power(finding: Finding, alpha: float) -> Finding:
    if finding.comparison.measure == "constant":
        return finding
    differences, margin = finding.differences, finding.comparison.margin
    exact, power = sign_flip_test(differences, margin), paired_power(differences, margin, alpha)
    return replace(finding, p_exact=exact, power=power)


def insignificant_by_design(settings: ReportSettings, seeds: int) -> list[str]:
    """Return a sentence per comparison whose exact test cannot be significant with the planned datasets or `seeds`."""
    tested = [(claim, c) for claim in settings.claims for c in claim.comparisons if _is_tested(c)]
    pairs = [len(c.sets) if len(c.sets) >= MIN_UNITS else seeds for _, c in tested]
    sentences = []
    for (claim, c), n, p in zip(tested, pairs, smallest_exact_p(pairs), strict=True):
        if p >= settings.alpha:
            unit = "datasets" if len(c.sets) >= MIN_UNITS else "seeds"
            sentences.append(
                f"claim {claim.id}, {c.metric} of {c.slim} and {c.baseline} on {c.sets[0]}"
                f"{f' and {len(c.sets) - 1} more' if len(c.sets) > 1 else ''}: "
                f"with {n} {unit}, the exact test cannot be significant (smallest p after Holm's correction {p:.3f})"
            )
    return sentences


def _find(scores: Scores, settings: ReportSettings, comparison: Comparison) -> Finding:
    """Return the result of a comparison by dataset, or by seed if the comparison has fewer than three datasets."""
    pair = Pair(slim=comparison.slim, baseline=comparison.baseline)
    found = [m for name in comparison.sets if (m := match_scores(scores, settings, pair, comparison.metric, name))]
    reasons = [
        m.conflict or ("" if fnmatchcase(m.protocol, comparison.protocol) else f"protocol is {m.protocol}")
        for m in found
    ]
    matches = [m for m, reason in zip(found, reasons, strict=True) if not reason]
    where = f"claim on {comparison.metric}: {comparison.slim} against {comparison.baseline}"
    advice = "narrow the comparison's `protocol` in config/claims.yaml"
    same_protocol((without_dataset_parts(m.protocol) for m in matches), where, advice)
    by_dataset = len(comparison.sets) >= MIN_UNITS
    share = comparison.measure != "difference"
    pairs = [pair for m in matches for pair in ([m.means] if by_dataset else zip(m.slim, m.baseline, strict=True))]
    improvements = [improvement(slim, baseline, comparison.direction, share) for slim, baseline in pairs]
    return Finding(
        comparison=comparison,
        paired=compare_paired(improvements, comparison.margin),
        differences=tuple(improvements),
        unit="dataset" if by_dataset else "seed",
        slim_mean=summarise([m.means[0] for m in matches]).mean,
        baseline_mean=summarise([m.means[1] for m in matches]).mean,
        datasets_found=len(matches),
        seeds=min((len(m.slim) for m in matches), default=0),
        refused=tuple(f"{m.dataset}: {reason}" for m, reason in zip(found, reasons, strict=True) if reason),
    )


def _decide(finding: Finding, settings: ReportSettings, scale: str) -> Finding:
    """Return the finding with its verdict. The verdict uses the corrected p value, except for controls."""
    comparison, paired = finding.comparison, finding.paired
    if scale != settings.verdict_scale:
        needs = f"verdicts need the {settings.verdict_scale} scale and {settings.minimum_seeds} seeds"
        return replace(finding, verdict=NOT_TESTED, reason=needs)
    if finding.refused:
        others = f" and {len(finding.refused) - 1} more" if len(finding.refused) > 1 else ""
        return replace(finding, reason=f"not comparable: {finding.refused[0]}{others}")
    if finding.datasets_found < len(comparison.sets):
        return replace(finding, reason=f"{finding.datasets_found} of {len(comparison.sets)} datasets finished")
    if finding.seeds < settings.minimum_seeds:
        return replace(finding, reason=f"{finding.seeds} of {settings.minimum_seeds} seeds finished")
    if paired.mean is None:
        return replace(finding, reason="the baseline's value is 0, so a relative difference is undefined")
    verdict = SUPPORTED if paired.mean > comparison.margin else CONTRADICTED
    if comparison.measure == "constant":
        return replace(finding, verdict=verdict, reason="equal for all seeds, so not tested")
    p = finding.p_holm if comparison.role == "verdict" else paired.p
    if p is None or p >= settings.alpha:
        return replace(finding, reason="the difference is not significant")
    return replace(finding, verdict=verdict)
