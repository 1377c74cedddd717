"""SLIM against its rival, paired: seed by seed within a data set, and set by set with the seeds averaged first.

An improvement is positive where SLIM is better. Within a set it is in the metric's unit; across sets of different difficulty
it is a share of the rival's value for distances, else in the metric's unit. Holm's correction runs over all tests of one task
and one unit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from bench.metrics.protocol import same_protocol
from bench.report.names import metric_of
from bench.report.settings import Pair, Settings, TaskSettings
from bench.report.statistics import MINIMUM, Paired, compare_paired, holm, summarise


@dataclass(frozen=True)
class Result:
    """One paired comparison. `slim_mean`, `rival_mean` are over the pairs; `share`: differences are relative."""

    task: str
    metric: str
    protocol: str
    dataset: str
    selection: str
    pair: Pair
    unit: str
    slim_mean: float
    rival_mean: float
    share: bool
    paired: Paired
    p_holm: float | None = None

    def evidence(self, alpha: float) -> str:
        if self.paired.n < MINIMUM:
            return f"no evidence: {self.paired.n} {self.unit}{'' if self.paired.n == 1 else 's'}"
        if self.p_holm is None or self.p_holm >= alpha:
            return "no evidence"
        return "SLIM better" if self.paired.mean > 0 else "rival better"


def seed_values(frame: pd.DataFrame, experiment: str, metric: str, dataset: str, selection: str) -> pd.DataFrame:
    """Finished rows of one experiment with seed, value, protocol, direction."""
    rows = frame[(frame["experiment"] == experiment) & (frame["metric"] == metric) & (frame["dataset"] == dataset)]
    rows = rows[(rows["selection"] == selection) & (rows["status"] == "ok")]
    return rows.dropna(subset=["value"]).drop_duplicates("seed").set_index("seed")


def improvement(slim: float, rival: float, direction: str, share: bool) -> float:
    """How much better SLIM is, in the metric's unit or as a share of the rival's value."""
    better = rival - slim if direction == "lower" else slim - rival
    return better / abs(rival) if share else better


def compare(frame: pd.DataFrame, settings: Settings) -> list[Result]:
    """Every pair of every task on its primary metrics, last and best exports."""
    results = []
    for task, task_settings in settings.tasks.items():
        rows = frame[frame["task"] == task]
        found = [*_within_sets(rows, task, task_settings), *_across_sets(rows, task, task_settings)]
        for unit in ("seed", "data set"):
            family = [result for result in found if result.unit == unit]
            corrected = holm([result.paired.p for result in family])
            results += [replace(result, p_holm=p) for result, p in zip(family, corrected, strict=True)]
    return results


def _pairings(rows: pd.DataFrame, settings: TaskSettings) -> Iterable[tuple[Pair, str, str]]:
    experiments = set(rows["experiment"])
    for pair in settings.pairs:
        if {pair.slim, pair.rival} <= experiments:
            for metric in settings.primary:
                yield from ((pair, metric, selection) for selection in ("last", "best"))


def _within_sets(rows: pd.DataFrame, task: str, settings: TaskSettings) -> Iterable[Result]:
    for pair, metric, selection in _pairings(rows, settings):
        for dataset in rows["dataset"].unique():
            slim = seed_values(rows, pair.slim, metric, dataset, selection)
            rival = seed_values(rows, pair.rival, metric, dataset, selection)
            seeds = slim.index.intersection(rival.index)
            if seeds.empty:
                continue
            both = pd.concat([slim.loc[seeds], rival.loc[seeds]])
            protocol = same_protocol(both["protocol"], f"{pair.slim} against {pair.rival} on {dataset}")
            direction = both["direction"].iloc[0]
            differences = [
                improvement(a, b, direction, False)
                for a, b in zip(slim.loc[seeds, "value"], rival.loc[seeds, "value"], strict=True)
            ]
            means = (summarise(side.loc[seeds, "value"].to_list()).mean for side in (slim, rival))
            key = (task, metric, protocol, dataset, selection, pair, "seed")
            yield Result(*key, *means, False, compare_paired(differences))


def _across_sets(rows: pd.DataFrame, task: str, settings: TaskSettings) -> Iterable[Result]:
    """The seeds of each set are averaged first; the sets are the sample. One set alone is no sample of sets."""
    for pair, metric, selection in _pairings(rows, settings):
        means, directions = [], set()
        for dataset in rows["dataset"].unique():
            slim = seed_values(rows, pair.slim, metric, dataset, selection)
            rival = seed_values(rows, pair.rival, metric, dataset, selection)
            if len(slim) and len(rival):
                same_protocol([*slim["protocol"], *rival["protocol"]], f"{pair.slim} against {pair.rival} on {dataset}")
                means.append((float(slim["value"].mean()), float(rival["value"].mean())))
                directions |= set(slim["direction"])
        if len(means) < 2:
            continue
        share = metric_of(metric).relative
        differences = [improvement(a, b, min(directions), share) for a, b in means]
        sides = (summarise([mean[side] for mean in means]).mean for side in (0, 1))
        key = (task, metric, "", f"{len(means)} data sets", selection, pair, "data set")
        yield Result(*key, *sides, share, compare_paired(differences))
