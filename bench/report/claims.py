"""The abstract's claims against the numbers: supported, contradicted, no evidence, or not tested at this scale.

A verdict needs the scale named in config/claims.yaml, every set named there, and enough seeds on each. The unit is the
data set, its seeds averaged first; where a claim names fewer than three sets it is the seed. A claim holds if all its
comparisons do, and falls if one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bench.metrics.protocol import across_sets, same_protocol
from bench.report.paired import Matched, improvement, match
from bench.report.scores import Scores
from bench.report.settings import Claim, Comparison, Pair, Settings
from bench.report.statistics import MINIMUM, Paired, compare_paired, holm, summarise

SUPPORTED, CONTRADICTED, NO_EVIDENCE = "supported", "contradicted", "no evidence"
NOT_TESTED = "not tested at this scale"


@dataclass(frozen=True)
class Finding:
    """One comparison with its numbers. `paired.mean` positive: SLIM is better."""

    comparison: Comparison
    paired: Paired
    unit: str
    slim_mean: float | None
    rival_mean: float | None
    sets_found: int
    seeds: int
    p_holm: float | None = None
    verdict: str = NO_EVIDENCE
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    claim: Claim
    verdict: str
    reason: str
    findings: tuple[Finding, ...]


def answer_claims(scores: Scores, settings: Settings, scale: str) -> list[Answer]:
    """One answer per claim; Holm's correction runs over the tested comparisons of all claims."""
    findings = [[_find(scores, comparison) for comparison in claim.comparisons] for claim in settings.claims]
    tested = [f.paired.p if _is_tested(f.comparison) else None for group in findings for f in group]
    corrected = iter(holm(tested))
    answers = []
    for claim, group in zip(settings.claims, findings, strict=True):
        judged = tuple(_judge(replace(finding, p_holm=next(corrected)), settings) for finding in group)
        answers.append(Answer(claim, *_conclude(judged, settings, scale), judged))
    return answers


def _is_tested(comparison: Comparison) -> bool:
    return comparison.role == "verdict" and comparison.measure != "constant"


def _find(scores: Scores, comparison: Comparison) -> Finding:
    """Differences per set, or per seed where fewer than three sets are named."""
    pair = Pair(slim=comparison.slim, rival=comparison.rival)
    matches = [m for name in comparison.sets if (m := match(scores, pair, comparison.metric, name))]
    matches = [m for m in matches if fnmatchcase(m.protocol, comparison.protocol)]
    where = f"claim on {comparison.metric}: {comparison.slim} against {comparison.rival}"
    same_protocol((across_sets(m.protocol) for m in matches), where)
    by_set = len(comparison.sets) >= MINIMUM
    return Finding(
        comparison=comparison,
        paired=compare_paired(_improvements(matches, comparison, by_set), comparison.margin),
        unit="data set" if by_set else "seed",
        slim_mean=summarise([m.means[0] for m in matches]).mean,
        rival_mean=summarise([m.means[1] for m in matches]).mean,
        sets_found=len(matches),
        seeds=min((len(m.slim) for m in matches), default=0),
    )


def _improvements(matches: list[Matched], comparison: Comparison, by_set: bool) -> list[float]:
    share = comparison.measure != "difference"
    pairs = (
        [m.means for m in matches] if by_set else [pair for m in matches for pair in zip(m.slim, m.rival, strict=True)]
    )
    return [improvement(a, b, comparison.direction, share) for a, b in pairs]


def _judge(finding: Finding, settings: Settings) -> Finding:
    """The verdict of one comparison, were the scale the right one."""
    comparison, paired = finding.comparison, finding.paired
    if finding.sets_found < len(comparison.sets):
        return replace(finding, reason=f"{finding.sets_found} of {len(comparison.sets)} sets finished")
    if finding.seeds < settings.minimum_seeds:
        return replace(finding, reason=f"{finding.seeds} of {settings.minimum_seeds} seeds finished")
    if paired.mean is None:
        return replace(finding, reason="the rival's value is 0: no share of it can be given")
    verdict = SUPPORTED if paired.mean > comparison.margin else CONTRADICTED
    if comparison.measure == "constant":
        return replace(finding, verdict=verdict, reason="a constant of the networks")
    p = finding.p_holm if comparison.role == "verdict" else paired.p
    if p is None or p >= settings.alpha:
        return replace(finding, reason="the difference is within what seeds and sets vary by")
    return replace(finding, verdict=verdict)


def _conclude(findings: Sequence[Finding], settings: Settings, scale: str) -> tuple[str, str]:
    """Verdict and reason of the claim: the worst of its deciding comparisons."""
    if scale != settings.verdict_scale:
        needs = f"verdicts come from the {settings.verdict_scale} scale with {settings.minimum_seeds} seeds"
        return NOT_TESTED, needs
    deciding = [finding for finding in findings if finding.comparison.role == "verdict"]
    verdict = next(v for v in (CONTRADICTED, NO_EVIDENCE, SUPPORTED) if any(f.verdict == v for f in deciding))
    reasons = dict.fromkeys(f.reason for f in deciding if f.verdict == verdict and f.reason)
    return verdict, "; ".join(reasons)
