"""Tables of the scores of one task. Each dataset has a table with a row per experiment and a column per metric and
protocol.

The table of the `last` weights also has the untrained networks and the controls with the same protocol. The `best`
weights have a separate table, because their protocol contains the rule of the checkpoint selection. Controls with other
protocols also have a separate table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench.claims import TaskSettings
from bench.report.read.experiment_roles import ROLE_LABELS, experiments_of, role_of, without_ablations
from bench.report.read.names import METRIC_LABELS, control_label, format_value, metric_of
from bench.report.read.scores import Row, Scores
from bench.report.tables.seed_averages import Column, cell_of, columns_of, in_column
from bench.report.tables.table import Head, Table, TableCell, score_cell


def anchor(experiment: str, dataset: str) -> str:
    """Return the HTML anchor of the runs of one experiment on one dataset."""
    return f"of-{experiment}--{dataset}"


Tested = Mapping[tuple[str, ...], Mapping[str, bool]]


def comparison_tables(
    scores: Scores, dataset: str, settings: TaskSettings, tested: Tested | None = None
) -> list[Table]:
    """Return the table of `last` weights, then the tables of `best` weights and of controls with other protocols.

    The last two tables are omitted if they have no scores. `tested`: result of `compared_partners`, which decides the
    bold values.
    """
    rows = without_ablations(scores.measured.where(dataset=dataset), settings)
    last = rows.where(weights="last")
    shared = {(row.metric, row.protocol) for row in last if row.ok}
    others = rows.where(lambda row: row.weights not in ("last", "best") and (row.metric, row.protocol) in shared)
    apart = rows.where(lambda row: row.is_control and row.ok and (row.metric, row.protocol) not in shared)
    tables = [_comparison_table(Scores([*last, *others]), dataset, dataset, settings, tested or {})]
    best = rows.where(weights="best")
    if len(best):
        tables.append(_comparison_table(best, f"{dataset}: best weights", dataset, settings, tested or {}))
    if len(apart):
        tables.append(_controls_table(apart, dataset))
    return tables


def _comparison_table(rows: Scores, title: str, dataset: str, settings: TaskSettings, tested: Tested) -> Table:
    columns = columns_of(rows, [*settings.primary, *(name for name in METRIC_LABELS if name not in settings.primary)])
    leaders = [_significant_best(in_column(rows, column), column, dataset, tested) for column in columns]
    lines, roles = [], []
    for experiment, weights in _line_keys(rows, settings):
        line_rows = rows.where(weights=weights)
        line_rows = line_rows.where(experiment=experiment) if experiment else line_rows
        link = anchor(line_rows[0].experiment, dataset)
        where = f"{dataset}, {experiment or weights}"
        cells = [
            replace(cell_of(in_column(line_rows, column), where).entry(link), bold=(experiment, weights) == leader)
            for column, leader in zip(columns, leaders, strict=True)
        ]
        if not experiment:
            role, label = "control", TableCell(control_label(weights), "control", link, "control")
        elif weights == "untrained":
            role, label = "minor", TableCell(f"{experiment}, untrained", "", link, "minor")
        else:
            role = role_of(experiment, settings)
            label = TableCell(experiment, ROLE_LABELS[role], link, "experiment", settings.controls.get(experiment, ""))
        roles.append(role)
        lines.append((label, *cells))
    head = (Head("experiment", numeric=False), *(column.head for column in columns))
    return Table(title, head, tuple(lines), row_classes=tuple(roles))


def _significant_best(rows: list[Row], column: Column, dataset: str, tested: Tested) -> tuple[str, str] | None:
    """Return (experiment, weights) of the best value of a column, or None if no value is significantly the best.

    The best value must be significantly better than the values of the next trained network and of each compared
    network.
    """
    means: dict[tuple[str, str], float] = {}
    for key in dict.fromkeys(("" if row.is_control else row.experiment, row.weights) for row in rows):
        network_rows = [row for row in rows if ("" if row.is_control else row.experiment, row.weights) == key]
        mean = cell_of(network_rows, dataset).summary.mean
        if mean is not None:
            means[key] = mean
    if column.direction == "none" or len(means) < 2:
        return None
    order = sorted(means, key=means.__getitem__, reverse=column.direction == "higher")
    (experiment, weights), trained = order[0], [name for name, kind in order if name and kind in ("last", "best")]
    partners = tested.get((dataset, weights, column.metric, column.protocol, experiment), {})
    is_best = bool(partners) and all(partners.values()) and len(trained) > 1 and trained[1] in partners
    return order[0] if is_best else None


def _line_keys(rows: Scores, settings: TaskSettings) -> Iterator[tuple[str, str]]:
    """Yield (experiment, weights) of each row of the table. The experiment of a control is empty."""
    networks = rows.where(lambda row: not row.is_control)
    for experiment in experiments_of(networks, settings):
        present = set(networks.where(experiment=experiment).distinct("weights"))
        yield from ((experiment, weights) for weights in ("last", "best", "untrained") if weights in present)
    yield from (("", weights) for weights in sorted({row.weights for row in rows if row.is_control}))


def _controls_table(rows: Scores, dataset: str) -> Table:
    """Return a table with one row per control and metric."""
    lines = []
    for column in columns_of(rows, METRIC_LABELS):
        column_rows = in_column(rows, column)
        for weights in dict.fromkeys(row.weights for row in column_rows):
            cell = cell_of([row for row in column_rows if row.weights == weights], f"{dataset}, {weights}")
            link = anchor(column_rows[0].experiment, dataset)
            value = TableCell(format_value(column.metric, cell.summary.mean), link=link)
            lines.append((TableCell(control_label(weights)), score_cell(column.metric, column.protocol), value))
    names = ("control", "metric", "value")
    head = tuple(Head(name, numeric=name == "value") for name in names)
    return Table(f"{dataset}: controls with other protocols", head, tuple(lines))


def comparison_records(scores: Scores) -> list[dict[str, Any]]:
    """Return all values in full precision, with one record per dataset x experiment x weights x metric x protocol."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in scores.measured:
        groups.setdefault((row.dataset, row.experiment, row.weights, row.metric), []).append(row)
    return [record for key, rows in groups.items() for record in _records(key, rows)]


def _records(key: tuple[str, ...], rows: list[Row]) -> Iterable[dict[str, Any]]:
    for column in columns_of(rows, METRIC_LABELS):
        cell = cell_of(in_column(rows, column), ", ".join(key))
        summary = cell.summary
        yield (
            dict(zip(("dataset", "experiment", "weights", "metric"), key, strict=True))
            | {"label": metric_of(column.metric).label, "protocol": column.protocol}
            | {"direction": column.direction, "unit": column.unit, "cell": cell.text}
            | {"mean": summary.mean, "sd": summary.sd, "n": summary.n, "low": summary.low, "high": summary.high}
            | {"failed": cell.failed, "missing": cell.missing, "mixed_code": cell.mixed_code, "class": ""}
        )
