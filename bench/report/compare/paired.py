"""Compares SLIM with its baselines. Scores are paired by seed, and means over seeds are paired by dataset.

Improvements are positive if SLIM is better. They have the unit of the metric. Across datasets, however, improvements in
distances such as FID are relative to the baseline, because datasets differ in difficulty. Holm's correction covers all
tests of one task over the same unit (seeds or datasets). Datasets with different protocols are tested separately.
Scores on different versions of the data are not paired. At the scale with verdicts, runs trained under different
conditions (device, torch version, precision, compile) are not paired either, unless `may_differ` in config/claims.yaml
allows the difference. At other scales, such runs are paired, and the tables name the difference.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.claims import Condition, Pair, ReportSettings, TaskSettings
from bench.metrics.protocol import same_protocol, without_dataset_parts
from bench.report.compare.statistics import MIN_UNITS, Paired, compare_paired, holm, mean_of
from bench.report.read.names import metric_of
from bench.report.read.scores import Row, Scores, one_protocol

SLIM_BETTER, BASELINE_BETTER = "SLIM better", "baseline better"


@dataclass(frozen=True)
class Result:
    """Result of one paired comparison, with means over the pairs.

    `share`: whether differences are relative to the baseline's value. `conflict`: the reason why nothing was compared,
    or empty. With a conflict, the means are None. `differs`: descriptions of the training conditions that differ.
    """

    task: str
    metric: str
    protocol: str
    dataset: str
    weights: str
    pair: Pair
    unit: str
    slim_mean: float | None
    baseline_mean: float | None
    share: bool
    paired: Paired
    p_holm: float | None = None
    conflict: str = ""
    differs: tuple[str, ...] = ()

    @property
    def count(self) -> str:
        return f"{self.paired.n} {self.unit}{'' if self.paired.n == 1 else 's'}"

    def significance(self, alpha: float) -> str:
        """Return the outcome of the paired test at level `alpha` as text."""
        if self.conflict:
            return f"not comparable: {self.conflict}"
        if self.paired.mean is None or self.paired.n < MIN_UNITS:
            return f"not tested ({self.count})"
        if self.p_holm is None or self.p_holm >= alpha:
            return "not significant"
        return SLIM_BETTER if self.paired.mean > 0 else BASELINE_BETTER


def compared_partners(results: Sequence[Result], alpha: float) -> dict[tuple[str, ...], dict[str, bool]]:
    """Return {key: {partner: whether the experiment of the key is significantly better}} of comparisons over seeds.

    A key is (dataset, weights, metric, protocol, experiment). Scores that must not be compared have no entry.
    """
    found: dict[tuple[str, ...], dict[str, bool]] = {}
    for r in results:
        if r.unit == "seed" and not r.conflict:
            outcome = r.significance(alpha)
            where = r.dataset, r.weights, r.metric, r.protocol
            found.setdefault((*where, r.pair.slim), {})[r.pair.baseline] = outcome == SLIM_BETTER
            found.setdefault((*where, r.pair.baseline), {})[r.pair.slim] = outcome == BASELINE_BETTER
    return found


@dataclass(frozen=True)
class MatchedScores:
    """Finished scores of SLIM and a baseline on one dataset with one protocol, ordered by seed.

    `conflict`: the reason why these scores must not be paired, or empty. `differs`: descriptions of the training
    conditions that differ between runs of SLIM and baseline with the same seed.
    """

    dataset: str
    protocol: str
    direction: str
    slim: tuple[float, ...]
    baseline: tuple[float, ...]
    conflict: str = ""
    differs: tuple[str, ...] = ()

    def improvements(self, share: bool) -> list[float]:
        return [improvement(a, b, self.direction, share) for a, b in zip(self.slim, self.baseline, strict=True)]

    @property
    def means(self) -> tuple[float, float]:
        return mean_of(self.slim), mean_of(self.baseline)


CONDITIONS: dict[Condition, Callable[[Row], str]] = {
    "device": lambda row: row.device,
    "torch": lambda row: ".".join(row.torch.split(".")[:2]),
    "precision": lambda row: row.precision,
    "compile": lambda row: "" if row.compile is None else str(row.compile).lower(),
}


def improvement(slim: float, baseline: float, direction: str, share: bool) -> float:
    """Return the improvement of SLIM over the baseline in the metric's unit, or relative to the baseline if `share`."""
    better = baseline - slim if direction == "lower" else slim - baseline
    if share:
        return better / abs(baseline) if baseline else math.nan
    return better


def finished_by_seed(scores: Scores, experiment: str, metric: str, dataset: str, weights: str) -> dict[int, Row]:
    """Return, by seed, the rows of one experiment that have a finite score."""
    rows = scores.of(experiment, dataset).where(metric=metric, weights=weights, status="ok")
    return {row.seed: row for row in rows if row.value is not None and math.isfinite(row.value)}


def match_scores(
    scores: Scores, settings: ReportSettings, pair: Pair, metric: str, dataset: str, weights: str = "last"
) -> MatchedScores | None:
    """Return the scores of the seeds that both networks have, or None if they have no common seed.

    Raises ProtocolError if the protocols differ.
    """
    slim, baseline = (finished_by_seed(scores, name, metric, dataset, weights) for name in (pair.slim, pair.baseline))
    seeds = sorted(slim.keys() & baseline.keys())
    if not seeds:
        return None
    where = f"{metric}: {pair.slim} against {pair.baseline} on {dataset}"
    rows = [side[seed] for seed in seeds for side in (slim, baseline)]
    data = tuple(sorted({row.data_sha256 for row in rows} - {""}))
    differs = _differing(scores, pair, dataset, seeds)
    refused = set(differs) - set(settings.may_differ) if rows[0].scale == settings.verdict_scale else set()
    if len(data) > 1:
        conflict = f"data differ ({', '.join(sha256[:8] for sha256 in data)})"
    else:
        conflict = "; ".join(differs[condition] for condition in differs if condition in refused)
    protocol = one_protocol(rows, where) if len(data) < 2 else ""  # scores on different data are not used
    values = [tuple(v for seed in seeds if (v := side[seed].value) is not None) for side in (slim, baseline)]
    return MatchedScores(
        dataset,
        protocol or "",
        rows[0].direction,
        slim=values[0],
        baseline=values[1],
        conflict=conflict,
        differs=tuple(differs.values()),
    )


def _differing(scores: Scores, pair: Pair, dataset: str, seeds: Sequence[int]) -> dict[Condition, str]:
    """Return the conditions that differ between runs of SLIM and baseline with the same seed, with both values."""
    runs = [{row.seed: row for row in scores.of(name, dataset).runs} for name in (pair.slim, pair.baseline)]
    pairs = [(runs[0][seed], runs[1][seed]) for seed in seeds if seed in runs[0] and seed in runs[1]]
    found: dict[Condition, str] = {}
    for condition, value_of in CONDITIONS.items():
        different = [(value_of(a), value_of(b)) for a, b in pairs if value_of(a) != value_of(b)]
        if different:
            found[condition] = f"{condition} differs ({different[0][0] or 'unknown'}, {different[0][1] or 'unknown'})"
    return found


def compare_experiments(scores: Scores, settings: ReportSettings) -> list[Result]:
    """Compare every pair of every task by the task's primary metrics, with `last` and with `best` weights."""
    results = []
    for task, task_settings in settings.tasks.items():
        found = list(_compare_task(scores.where(task=task), settings, task, task_settings))
        for unit in ("seed", "dataset"):
            family = [result for result in found if result.unit == unit]
            corrected = holm([result.paired.p for result in family])
            results += [replace(result, p_holm=p) for result, p in zip(family, corrected, strict=True)]
    return results


def _compare_task(
    scores: Scores, report_settings: ReportSettings, task: str, settings: TaskSettings
) -> Iterator[Result]:
    datasets, experiments = scores.distinct("dataset"), set(scores.distinct("experiment"))
    for pair in settings.pairs:
        if not {pair.slim, pair.baseline} <= experiments:
            continue
        for metric in settings.primary:
            for weights in ("last", "best"):
                fields = {"task": task, "metric": metric, "weights": weights, "pair": pair}
                matches = [
                    m for name in datasets if (m := match_scores(scores, report_settings, pair, metric, name, weights))
                ]
                yield from (_over_seeds(m, fields) for m in matches)
                yield from (_over_datasets(group, len(matches), fields) for group in _by_protocol(matches))


def _over_seeds(matched: MatchedScores, fields: dict[str, Any]) -> Result:
    fields = fields | {"protocol": matched.protocol, "dataset": matched.dataset, "unit": "seed", "share": False}
    fields |= {"differs": matched.differs}
    if matched.conflict:
        return Result(**fields, slim_mean=None, baseline_mean=None, paired=Paired(0), conflict=matched.conflict)
    slim, baseline = matched.means
    return Result(**fields, slim_mean=slim, baseline_mean=baseline, paired=compare_paired(matched.improvements(False)))


def _by_protocol(matches: list[MatchedScores]) -> list[list[MatchedScores]]:
    """Return groups of at least two datasets whose protocols differ only in the parts that depend on the dataset."""
    groups: dict[str, list[MatchedScores]] = {}
    for m in matches:
        if not m.conflict:
            groups.setdefault(without_dataset_parts(m.protocol), []).append(m)
    return [group for group in groups.values() if len(group) > 1]


def _over_datasets(matches: list[MatchedScores], n_datasets: int, fields: dict[str, Any]) -> Result:
    """Compare means over seeds, paired by dataset. `n_datasets`: number of datasets with scores of any protocol."""
    where = f"{fields['metric']}: {fields['pair'].slim} against {fields['pair'].baseline} over datasets"
    protocol = same_protocol((without_dataset_parts(m.protocol) for m in matches), where)
    # a difference relative to a baseline of 0 is undefined
    share = metric_of(fields["metric"]).relative and all(m.means[1] for m in matches)
    count = f"all {n_datasets}" if len(matches) == n_datasets else f"{len(matches)} of {n_datasets}"
    slim, baseline = (mean_of([m.means[side] for m in matches]) for side in (0, 1))
    return Result(
        **fields,
        protocol=protocol or "",
        dataset=f"{count} datasets",
        unit="dataset",
        slim_mean=slim,
        baseline_mean=baseline,
        share=share,
        differs=tuple(dict.fromkeys(text for m in matches for text in m.differs)),
        paired=compare_paired([improvement(*m.means, m.direction, share) for m in matches]),
    )
