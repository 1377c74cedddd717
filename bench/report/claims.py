"""The abstract's claims against the numbers: supported, contradicted, no evidence, or not tested at this scale.

A verdict needs the scale named in config/claims.yaml, every set named there, and enough seeds on each. The unit is the data
set (seeds averaged first); where a claim names fewer than three sets it is the seed. A claim holds if all its comparisons do,
and falls if one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import pandas as pd

from bench.metrics.protocol import same_protocol
from bench.report.paired import improvement, seed_values
from bench.report.settings import Claim, Comparison, Settings
from bench.report.statistics import MINIMUM, Paired, compare_paired, holm, summarise

SUPPORTED, CONTRADICTED, NO_EVIDENCE = "supported", "contradicted", "no evidence"
NOT_TESTED = "not tested at this scale"


@dataclass(frozen=True)
class Finding:
    """One comparison with its numbers. `improvement` positive: SLIM is better."""

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


def answer_claims(frame: pd.DataFrame, settings: Settings, scale: str) -> list[Answer]:
    """One answer per claim; Holm's correction runs over the tested comparisons of all claims."""
    findings = [[_find(frame, comparison) for comparison in claim.comparisons] for claim in settings.claims]
    flat = [finding for group in findings for finding in group]
    tested = [f.paired.p if _is_tested(f.comparison) else None for f in flat]
    corrected = iter(holm(tested))
    answers = []
    for claim, group in zip(settings.claims, findings, strict=True):
        group = tuple(_judge(replace(finding, p_holm=next(corrected)), settings) for finding in group)
        verdict, reason = _conclude(group, settings, scale)
        answers.append(Answer(claim, verdict, reason, group))
    return answers


def _is_tested(comparison: Comparison) -> bool:
    return comparison.role == "verdict" and comparison.measure != "constant"


def _find(frame: pd.DataFrame, comparison: Comparison) -> Finding:
    """Differences per set, or per seed where fewer than three sets are named; protocols are checked against the family."""
    per_set, per_seed, slim_means, rival_means, seeds = [], [], [], [], []
    share = comparison.measure != "difference"
    for dataset in comparison.sets:
        slim, rival = (
            _in_family(seed_values(frame, experiment, comparison.metric, dataset, "last"), comparison)
            for experiment in (comparison.slim, comparison.rival)
        )
        common = slim.index.intersection(rival.index)
        if common.empty:
            continue
        where = f"claim on {comparison.metric}: {comparison.slim} against {comparison.rival} on {dataset}"
        same_protocol([*slim["protocol"], *rival["protocol"]], where)
        pairs = list(zip(slim.loc[common, "value"], rival.loc[common, "value"], strict=True))
        per_seed += [improvement(a, b, comparison.direction, share) for a, b in pairs]
        slim_means.append(float(slim.loc[common, "value"].mean()))
        rival_means.append(float(rival.loc[common, "value"].mean()))
        per_set.append(improvement(slim_means[-1], rival_means[-1], comparison.direction, share))
        seeds.append(len(common))
    by_set = len(comparison.sets) >= MINIMUM
    return Finding(
        comparison=comparison,
        paired=compare_paired(per_set if by_set else per_seed, comparison.margin),
        unit="data set" if by_set else "seed",
        slim_mean=summarise(slim_means).mean,
        rival_mean=summarise(rival_means).mean,
        sets_found=len(per_set),
        seeds=min(seeds, default=0),
    )


def _in_family(rows: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    return rows[[fnmatchcase(protocol, comparison.protocol) for protocol in rows["protocol"]]]


def _judge(finding: Finding, settings: Settings) -> Finding:
    """The verdict of one comparison, were the scale the right one."""
    comparison, paired = finding.comparison, finding.paired
    if finding.sets_found < len(comparison.sets):
        return replace(finding, reason=f"{finding.sets_found} of {len(comparison.sets)} sets finished")
    if finding.seeds < settings.minimum_seeds:
        return replace(finding, reason=f"{finding.seeds} of {settings.minimum_seeds} seeds finished")
    beyond = paired.mean > comparison.margin
    if comparison.measure == "constant":
        return replace(finding, verdict=SUPPORTED if beyond else CONTRADICTED, reason="a constant of the networks")
    p = finding.p_holm if comparison.role == "verdict" else paired.p
    if p is None or p >= settings.alpha:
        return replace(finding, reason="the interval contains the margin")
    return replace(finding, verdict=SUPPORTED if beyond else CONTRADICTED)


def _conclude(findings: Sequence[Finding], settings: Settings, scale: str) -> tuple[str, str]:
    if scale != settings.verdict_scale:
        return NOT_TESTED, f"verdicts come from the {settings.verdict_scale} scale with {settings.minimum_seeds} seeds"
    deciding = [finding for finding in findings if finding.comparison.role == "verdict"]
    verdicts = {finding.verdict for finding in deciding}
    for verdict in (CONTRADICTED, NO_EVIDENCE, SUPPORTED):
        if verdict in verdicts:
            reasons = [f.reason for f in deciding if f.verdict == verdict and f.reason]
            return verdict, "; ".join(dict.fromkeys(reasons))
    return NO_EVIDENCE, ""
