"""Tables of ablations, with a row for the base experiment and each variation. Labels state the changed arguments."""

from dataclasses import dataclass
from typing import Any

from bench.claims import TaskSettings
from bench.errors import InputError
from bench.registry import arguments
from bench.report.read.scores import Row, Scores
from bench.report.tables.comparison import anchor
from bench.report.tables.seed_averages import cell_of, columns_of, in_column
from bench.report.tables.table import Head, Table, TableCell

PERMISSIONS = ("allow_constant",)
"""Arguments that only permit certain values of other arguments, so they do not count as changed."""


@dataclass(frozen=True)
class VariedExperiment:
    """Variation of a base. `factor`: changed argument. `level`: its value, or None if several arguments changed."""

    experiment: str
    factor: str
    level: Any


@dataclass(frozen=True)
class Ablation:
    base: str
    dataset: str
    arguments: dict[str, Any]
    variations: tuple[VariedExperiment, ...]

    @property
    def experiments(self) -> list[str]:
        return [self.base, *(variation.experiment for variation in self.variations)]

    @property
    def factors(self) -> list[str]:
        """Factors with integer levels, which can be plotted on an axis."""
        counted = (v.factor for v in self.variations if isinstance(v.level, int) and not isinstance(v.level, bool))
        return list(dict.fromkeys(counted))

    def levels(self, factor: str) -> dict[str, Any]:
        """Return the level of `factor` in each experiment that varies this factor, and in the base."""
        varied = {v.experiment: v.level for v in self.variations if v.factor == factor and v.level is not None}
        return {self.base: self.arguments.get(factor)} | varied


def find_ablations(scores: Scores, settings: TaskSettings) -> list[Ablation]:
    """Return one ablation for each base and each dataset on which the base and a variation have runs."""
    found = []
    for base in settings.ablation_bases:
        family = Scores([row for row in scores.runs if base in (row.experiment, row.base)])
        for dataset in family.distinct("dataset"):
            runs = {row.experiment: row for row in family.where(dataset=dataset)}
            if base in runs and len(runs) > 1:
                base_arguments = arguments_of(runs[base])
                others = sorted(set(runs) - {base})
                variations = [
                    VariedExperiment(name, *_difference(base_arguments, arguments_of(runs[name]))) for name in others
                ]
                variations.sort(key=lambda v: (v.level is None, v.factor, str(v.level).zfill(4)))
                found.append(Ablation(base, dataset, base_arguments, tuple(variations)))
    return found


def arguments_of(run: Row) -> dict[str, Any]:
    """Return the arguments of a run's network, including defaults, so that a base has a level for every argument."""
    try:
        fields = arguments(run.model).model_fields
    except InputError:  # the package of the network is not installed
        fields = {}
    defaults = {name: field.get_default() for name, field in fields.items()}
    return {"network": run.model} | defaults | run.extras.get("args", {})


def _difference(base: dict[str, Any], other: dict[str, Any]) -> tuple[str, Any]:
    """Return (factor, level) if one argument changed, else (text of all changes, None)."""
    names = [name for name in sorted(base.keys() | other.keys()) if name not in PERMISSIONS]
    changed = {name: other.get(name) for name in names if base.get(name) != other.get(name)}
    if len(changed) == 1:
        return next(iter(changed.items()))
    return ", ".join(f"{name} = {value}" for name, value in changed.items()), None


def ablation_table(scores: Scores, ablation: Ablation, settings: TaskSettings) -> Table:
    rows = scores.measured.where(
        dataset=ablation.dataset, experiment=ablation.experiments, weights="last", metric=settings.ablation_metrics
    )
    columns = columns_of(rows, settings.ablation_metrics)
    named = {v.experiment: v.factor if v.level is None else f"{v.factor} = {v.level}" for v in ablation.variations}
    base_levels = [f"{factor} = {ablation.arguments.get(factor)}" for factor in ablation.factors]
    named[ablation.base] = ", ".join(["base", *base_levels])
    lines = []
    for experiment in ablation.experiments:
        link = anchor(experiment, ablation.dataset)
        own_rows = rows.where(experiment=experiment)
        cells = [cell_of(in_column(own_rows, column), f"ablation {experiment}").entry(link) for column in columns]
        lines.append((TableCell(named[experiment], experiment, link, "experiment"), *cells))
    row_classes = ("slim", *("" for _ in ablation.variations))
    head = (Head("variation", numeric=False), *(column.head for column in columns))
    return Table(f"{ablation.base} on {ablation.dataset}", head, tuple(lines), row_classes=row_classes)
