"""Role of each experiment in the report (SLIM, baseline, control, ablation or other), from config/claims.yaml."""

from bench.claims import TaskSettings
from bench.report.read.row import Row
from bench.report.read.scores import Scores

ROLE_ORDER = {"slim": 0, "baseline": 1, "other": 2, "control": 3}
ROLE_LABELS = {"slim": "SLIM", "baseline": "baseline", "control": "control", "other": ""}


def role_of(experiment: str, settings: TaskSettings) -> str:
    if any(experiment == pair.slim for pair in settings.pairs):
        return "slim"
    if experiment in settings.controls:
        return "control"
    return "baseline" if any(experiment == pair.baseline for pair in settings.pairs) else "other"


def is_ablation(row: Row, settings: TaskSettings) -> bool:
    """Return whether the row's experiment is a variation of an ablation base, and neither in a pair nor a control."""
    return row.base in settings.ablation_bases and role_of(row.experiment, settings) == "other"


def experiments_of(scores: Scores, settings: TaskSettings) -> list[str]:
    """Return all experiments except ablations: SLIM, its baselines in the order of the pairs, others, then controls."""
    names = dict.fromkeys(row.experiment for row in scores if not is_ablation(row, settings))
    named = [name for pair in settings.pairs for name in (pair.slim, pair.baseline)]
    rank = {name: position for position, name in reversed(list(enumerate(named)))}
    return sorted(names, key=lambda name: (ROLE_ORDER[role_of(name, settings)], rank.get(name, len(named))))


def without_ablations(scores: Scores, settings: TaskSettings) -> Scores:
    return scores.where(experiment=experiments_of(scores, settings))
