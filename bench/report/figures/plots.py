"""Plots of scores. Each function returns None if there is no data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from bench.claims import TaskSettings
from bench.report.compare.statistics import summarise
from bench.report.figures.drawing import grid, lay_out, legend_above
from bench.report.figures.labels import label_lines, label_points
from bench.report.figures.style import INK, MUTED, SLIM, WIDTH, Series, series_styles
from bench.report.read.experiment_roles import experiments_of, role_of, without_ablations
from bench.report.read.names import ARROWS, control_label, metric_of
from bench.report.read.scores import Row, Scores, one_protocol
from bench.report.tables.ablations import Ablation, find_ablations
from bench.report.tables.seed_averages import Column, columns_of, in_column, seed_means
from bench.schema import Task

MAX_PANELS = 24
LONG_NAME = 28
"""Largest number of characters of an experiment in a panel of half the width."""
COSTS = ("params", "macs")
BASE, VARIATION = Series(SLIM, "D", "solid"), Series(INK, "o", "solid")


@dataclass(frozen=True)
class Network:
    """Mean score of a network on a dataset, and its parameters and MACs."""

    experiment: str
    dataset: str
    score: float
    costs: dict[str, float]


def styles_of(scores: Scores, settings: TaskSettings) -> dict[str, Series]:
    """Return the style of each experiment, in the order of the tables."""
    groups: dict[str, list[str]] = {"slim": [], "baseline": [], "other": [], "control": []}
    for name in experiments_of(scores, settings):
        groups[role_of(name, settings)].append(name)
    return series_styles(groups["slim"], groups["baseline"], groups["control"] + groups["other"])


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
    order = [name for name in styles if any(row.experiment == name and row.weights == "last" for row in rows)]
    for position, name in enumerate(order):
        style = styles[name]
        network_rows = [row for row in rows if row.experiment == name]
        last = [row for row in network_rows if row.weights == "last"]
        over = summarise(list(seed_means(last, name).values()))
        if over.low is not None and over.high is not None:
            axis.plot([over.low, over.high], [position] * 2, color=style.colour, linewidth=1.2)
        if over.mean is not None:
            axis.plot([over.mean] * 2, [position - 0.3, position + 0.3], color=style.colour, linewidth=2)
        style.points(axis, [row.value for row in last], [position] * len(last))
        untrained = [row.value for row in network_rows if row.weights == "untrained"]
        style.points(axis, untrained, [position] * len(untrained), markerfacecolor="none", alpha=1)
    axis.set_yticks(range(len(order)), order)
    axis.set_ylim(len(order) - 0.4, -0.6)
    for value in _controls(rows):
        axis.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axis.set(xlabel=column.title)
    axis.grid(axis="x")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.margins(x=0.08)


def _controls(rows: list[Row]) -> dict[float, str]:
    """Return the mean of each control and its name."""
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
        for point in points:
            style = known.get(point.experiment, Series(MUTED, "o", "solid"))
            style.points(axis, point.costs[cost], point.score, alpha=1)
        axis.set(xlabel="parameters" if cost == "params" else "MACs", ylabel=column.title)
        axis.set_title(f"{task_settings.title}: {points[0].dataset}")
        axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.margins(x=0.3, y=0.25)
    lay_out(figure)
    for axis, (_, _, cost, points, _) in zip(axes, panels, strict=True):
        label_points(axis, [p.experiment for p in points], [p.costs[cost] for p in points], [p.score for p in points])
    return figure


def _costs(rows: Scores, settings: TaskSettings) -> tuple[list[Network], Column] | None:
    """Return mean score, parameters and MACs of two or more networks on one dataset, except ablations, or None."""
    rows = without_ablations(rows, settings)
    for column in columns_of(rows.where(metric=settings.primary), settings.primary):
        points = []
        for name in rows.distinct("experiment"):
            network_rows = rows.where(experiment=name)
            score = _mean(in_column(network_rows, column))
            costs = {cost: mean for cost in COSTS if (mean := _mean(network_rows.where(metric=cost))) is not None}
            if score is not None and len(costs) == len(COSTS):
                points.append(Network(name, network_rows[0].dataset, score, costs))
        if len(points) > 1:
            for cost in COSTS:
                one_protocol(rows.where(metric=cost), f"figure of {cost}")
            return points, column
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
        order = sorted(points)
        means = [sum(row.value or 0 for row in points[level]) / len(points[level]) for level in order]
        axis.plot(range(len(order)), means, color=MUTED, linewidth=1, zorder=0)
        for position, level in enumerate(order):
            style = BASE if points[level][0].experiment == ablation.base else VARIATION
            style.points(axis, [position] * len(points[level]), [row.value for row in points[level]])
        axis.set_xticks(range(len(order)), [str(level) for level in order])
        axis.margins(x=0.15)
        axis.set(xlabel=factor.replace("_", " "), ylabel=column.title)
        axis.set_title(f"{ablation.base}: {ablation.dataset}")
    return figure


def _levels(
    scores: Scores, ablation: Ablation, factor: str, settings: TaskSettings
) -> tuple[dict[int, list[Row]], Column] | None:
    """Return finished scores at each level of `factor`, for the first ablation metric with scores at two levels."""
    levels = {name: level for name, level in ablation.levels(factor).items() if level is not None}
    rows = finished_rows(scores.where(dataset=ablation.dataset, experiment=levels, weights="last"))
    wanted = [name for name in settings.ablation_metrics if not metric_of(name).constant]
    for column in columns_of([row for row in rows if row.metric in wanted], wanted):
        points: dict[int, list[Row]] = {}
        for row in in_column(rows, column):
            points.setdefault(levels[row.experiment], []).append(row)
        if len(points) > 1:
            return points, column
    return None


def fd_curve_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Draw the Fréchet distance against the number of generated images, from `details.curve` of the scores."""
    rows = without_ablations(scores.measured.where(weights="last", status="ok"), settings)
    found: dict[tuple[str, str, str], list[tuple[Row, dict[int, float]]]] = {}
    for row in rows:
        curve = {int(n): value for n, value in row.extras.get("curve", {}).items()}
        if curve:
            found.setdefault((row.dataset, row.metric, row.protocol), []).append((row, curve))
    if not found:
        return None
    rank = {metric: position for position, metric in enumerate(settings.primary)}
    panels = sorted(found.items(), key=lambda panel: rank.get(panel[0][1], len(rank)))[:MAX_PANELS]
    shown = {row.experiment for _, part in panels for row, _ in part}
    styles = {name: style for name, style in styles_of(rows, settings).items() if name in shown}
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, ((dataset, metric, _), part) in zip(axes, panels, strict=True):
        for row, curve in part:
            styles[row.experiment].plot(axis, sorted(curve), [curve[n] for n in sorted(curve)])
        ylabel = f"{metric_of(metric).label} {ARROWS['lower']}"
        axis.set(xscale="log", xlabel="number of generated images", ylabel=ylabel)
        counts = sorted({n for _, curve in part for n in curve})
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set_title(dataset)
    legend_above(figure, styles)
    return figure
