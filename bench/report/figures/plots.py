"""Draws the plots of scores. Each figure function returns None without data."""

from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from bench.claims import TaskSettings
from bench.report.compare.statistics import summarise
from bench.report.figures.drawing import grid, lay_out, legend_above
from bench.report.figures.labels import label_lines, label_points
from bench.report.figures.style import INK, MUTED, SLIM, WIDTH, Series, draw_lines, draw_points, series_styles
from bench.report.read.experiment_roles import experiments_of, role_of, without_ablations
from bench.report.read.names import ARROWS, control_label, metric_of
from bench.report.read.scores import Row, Scores, one_protocol
from bench.report.tables.ablations import Ablation, find_ablations
from bench.report.tables.seed_averages import Column, columns_of, in_column, seed_means
from bench.schema import Task

MAX_PANELS = 24
LONG_NAME = 28
"""Maximum length in characters of an experiment's name in a panel of half the figure's width."""
COSTS = ("params", "macs")
BASE, VARIATION = Series(SLIM, "D"), Series(INK, "o")


def styles_of(scores: Scores, settings: TaskSettings) -> dict[str, Series]:
    """Return the style of each experiment, in the order of the tables."""
    groups: dict[str, list[str]] = {"slim": [], "baseline": [], "other": [], "control": []}
    for name in experiments_of(scores, settings):
        groups[role_of(name, settings)].append(name)
    return series_styles(groups["slim"], groups["baseline"], groups["control"] + groups["other"])


def plotted(rows: Iterable[Row]) -> pd.DataFrame:
    names = ("experiment", "seed", "value")
    return pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=list(names))


def finished_rows(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.ok and row.value is not None]


def scores_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Draw a panel per dataset and primary metric: seeds, mean and 95 % interval, untrained networks, controls."""
    rows = without_ablations(scores.measured.where(metric=settings.primary), settings)
    panels = []
    for dataset in rows.distinct("dataset"):
        dataset_rows = rows.where(dataset=dataset)
        last = finished_rows(dataset_rows.where(weights="last"))
        for column in columns_of(last, settings.primary):
            panels.append((dataset, column, in_column(finished_rows(dataset_rows), column)))
    if not panels:
        return None
    rank = {metric: position for position, metric in enumerate(settings.primary)}
    panels = sorted(panels, key=lambda panel: rank[panel[1].metric])[:MAX_PANELS]
    styles = styles_of(rows, settings)
    across = 2 if max(map(len, styles)) <= LONG_NAME else 1
    figure, axes = grid(len(panels), (WIDTH / across, 0.34 * len(styles) + 1.5), across)
    for axis, (dataset, column, shown) in zip(axes, panels, strict=True):
        _score_panel(axis, shown, column, styles)
        axis.set_title(dataset)
    lay_out(figure)
    for axis, (_, _, shown) in zip(axes, panels, strict=True):
        label_lines(axis, _controls(shown), MUTED)
    return figure


def _score_panel(axis: Axes, rows: list[Row], column: Column, styles: Mapping[str, Series]) -> None:
    one_protocol(rows, f"figure of {column.metric}")
    last = [row for row in rows if row.weights == "last"]
    present = {row.experiment for row in last}
    order = [name for name in styles if name in present]
    for position, name in enumerate(order):
        over = summarise(list(seed_means([row for row in last if row.experiment == name], name).values()))
        if over.low is not None and over.high is not None:
            axis.plot([over.low, over.high], [position] * 2, color=styles[name].colour, linewidth=1.2)
        if over.mean is not None:
            axis.plot([over.mean] * 2, [position - 0.3, position + 0.3], color=styles[name].colour, linewidth=2)
    for weights, hollow in (("last", False), ("untrained", True)):
        shown = plotted(row for row in rows if row.weights == weights and row.experiment in present)
        shown = shown.assign(position=shown["experiment"].map(order.index))
        draw_points(axis, shown, "value", "position", styles, hollow=hollow)
    axis.set_yticks(range(len(order)), order)
    axis.set_ylim(len(order) - 0.4, -0.6)
    for value in _controls(rows):
        axis.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axis.set(xlabel=column.title, ylabel="")
    axis.grid(axis="x")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.margins(x=0.08)


def _controls(rows: list[Row]) -> dict[float, str]:
    """Return {mean score: name} of the controls."""
    found: dict[float, str] = {}
    for weights in dict.fromkeys(row.weights for row in rows if row.is_control):
        values = [row.value for row in rows if row.weights == weights and row.value is not None]
        mean, name = sum(values) / len(values), control_label(weights)
        found[mean] = f"{found[mean]}, {name}" if mean in found else name
    return found


def complexity_figure(scores: Scores, settings: Mapping[Task, TaskSettings]) -> Figure | None:
    """Draw the first primary score of each task against parameters and MACs: a dot per network, averaged over seeds."""
    panels = []
    for task, task_settings in settings.items():
        rows = scores.measured.where(task=task, weights="last", status="ok")
        found = (_costs(rows.where(dataset=name), task_settings) for name in rows.distinct("dataset"))
        costs = next(filter(None, found), None)
        panels += [(task_settings, rows, cost, *costs) for cost in COSTS] if costs else []
    if not panels:
        return None
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, (task_settings, rows, cost, points, column) in zip(axes, panels, strict=True):
        known = styles_of(rows, task_settings)
        styles = {name: known.get(name, Series(MUTED, "o")) for name in points["experiment"]}
        draw_points(axis, points, cost, "score", styles)
        axis.set(xlabel="parameters" if cost == "params" else "MACs", ylabel=column.title)
        axis.set_title(f"{task_settings.title}: {points['dataset'].iloc[0]}")
        axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.margins(x=0.3, y=0.25)
    lay_out(figure)
    for axis, (_, _, cost, points, _) in zip(axes, panels, strict=True):
        label_points(axis, *(points[name].tolist() for name in ("experiment", cost, "score")))
    return figure


def _costs(rows: Scores, settings: TaskSettings) -> tuple[pd.DataFrame, Column] | None:
    """Return mean score, parameters and MACs of the networks except ablations, or None for fewer than two networks."""
    rows = without_ablations(rows, settings)
    for column in columns_of(rows.where(metric=settings.primary), settings.primary):
        points = []
        for name in rows.distinct("experiment"):
            network_rows = rows.where(experiment=name)
            costs = (_mean(network_rows.where(metric=cost)) for cost in COSTS)
            values = [_mean(in_column(network_rows, column)), *costs]
            if None not in values:
                points.append((name, network_rows[0].dataset, *values))
        if len(points) > 1:
            for cost in COSTS:
                one_protocol(rows.where(metric=cost), f"figure of {cost}")
            return pd.DataFrame(points, columns=["experiment", "dataset", "score", *COSTS]), column
    return None


def _mean(rows: Iterable[Row]) -> float | None:
    return summarise([row.value for row in rows if row.value is not None]).mean


def ablation_figure(scores: Scores, settings: Mapping[Task, TaskSettings]) -> Figure | None:
    """Draw the score at each level of every integer factor: seeds, a line through their means, the base in colour."""
    panels = []
    for task, task_settings in settings.items():
        task_scores = scores.where(task=task)
        for ablation in find_ablations(task_scores, task_settings):
            for factor in ablation.factors:
                found = _levels(task_scores, ablation, factor, task_settings)
                panels += [(ablation, factor, *found)] if found else []
    if not panels:
        return None
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, (ablation, factor, points, column) in zip(axes, panels, strict=True):
        order = sorted(points["level"].unique())
        points = points.assign(position=points["level"].map(order.index))
        means = points.groupby("position")["value"].mean()
        axis.plot(means.index, means, color=MUTED, linewidth=1, zorder=0)
        styles = {name: BASE if name == ablation.base else VARIATION for name in points["experiment"]}
        draw_points(axis, points, "position", "value", styles)
        axis.set_xticks(range(len(order)), [str(level) for level in order])
        axis.margins(x=0.15)
        axis.set(xlabel=factor.replace("_", " "), ylabel=column.title)
        axis.set_title(f"{ablation.base}: {ablation.dataset}")
    return figure


def _levels(
    scores: Scores, ablation: Ablation, factor: str, settings: TaskSettings
) -> tuple[pd.DataFrame, Column] | None:
    """Return finished scores at each level of `factor`, for the first ablation metric with scores at two levels."""
    levels = {name: level for name, level in ablation.levels(factor).items() if level is not None}
    rows = finished_rows(scores.where(dataset=ablation.dataset, experiment=levels, weights="last"))
    wanted = [name for name in settings.ablation_metrics if not metric_of(name).constant]
    for column in columns_of([row for row in rows if row.metric in wanted], wanted):
        points = plotted(in_column(rows, column))
        points = points.assign(level=points["experiment"].map(levels))
        if points["level"].nunique() > 1:
            return points, column
    return None


def fd_curve_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Draw the Fréchet distance against the number of generated images, from `details.curve` of the scores."""
    rows = without_ablations(scores.measured.where(weights="last", status="ok"), settings)
    points = [
        (row.dataset, row.metric, row.protocol, row.experiment, row.seed, int(n), value)
        for row in rows
        for n, value in row.extras.get("curve", {}).items()
    ]
    if not points:
        return None
    curves = pd.DataFrame(points, columns=["dataset", "metric", "protocol", "experiment", "seed", "n", "value"])
    rank = {metric: position for position, metric in enumerate(settings.primary)}
    panels = list(curves.groupby(["dataset", "metric", "protocol"], sort=False))
    panels = sorted(panels, key=lambda panel: rank.get(panel[0][1], len(rank)))[:MAX_PANELS]
    shown = {name for _, part in panels for name in part["experiment"]}
    styles = {name: style for name, style in styles_of(rows, settings).items() if name in shown}
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, ((dataset, metric, _), part) in zip(axes, panels, strict=True):
        draw_lines(axis, part, "n", "value", styles)
        ylabel = f"{metric_of(metric).label} {ARROWS['lower']}"
        axis.set(xscale="log", xlabel="number of generated images", ylabel=ylabel)
        counts = sorted(part["n"].unique())
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set_title(dataset)
    legend_above(figure, styles)
    return figure
