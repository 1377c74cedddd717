"""Plots of scores. Each function returns None if there is no data."""

from collections.abc import Iterable, Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from bench.claims import TaskSettings
from bench.report.compare.statistics import summarise
from bench.report.figures.style import INK, MUTED, SLIM, WIDTH, colours, grid
from bench.report.read.experiment_roles import experiments_of, role_of, without_ablations
from bench.report.read.names import ARROWS, control_label, metric_of
from bench.report.read.scores import Row, Scores, one_protocol
from bench.report.tables.ablations import Ablation, find_ablations
from bench.report.tables.seed_averages import Column, columns_of, in_column, seed_means
from bench.schema import Task

MAX_PANELS = 24
LABEL_HEIGHT = 8.5


def palette_of(scores: Scores, settings: TaskSettings) -> dict[str, str]:
    """Return the colour of each experiment, in the order of the tables."""
    groups: dict[str, list[str]] = {"slim": [], "baseline": [], "other": [], "control": []}
    for name in experiments_of(scores, settings):
        groups[role_of(name, settings)].append(name)
    return colours(groups["slim"], groups["baseline"], groups["control"] + groups["other"])


def plotted(rows: Iterable[Row]) -> pd.DataFrame:
    names = ("experiment", "dataset", "seed", "metric", "weights", "value")
    return pd.DataFrame([{name: getattr(row, name) for name in names} for row in rows], columns=list(names))


def finished_rows(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.ok and row.value is not None]


def scores_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Draw a panel per dataset and primary metric: seeds, mean and 95 % interval, untrained networks, controls."""
    rows = without_ablations(scores.measured.where(metric=settings.primary), settings)
    panels = []
    for dataset in rows.distinct("dataset"):
        here = rows.where(dataset=dataset)
        last = finished_rows(here.where(weights="last"))
        for column in columns_of(last, settings.primary):
            panels.append((dataset, column, in_column(finished_rows(here), column)))
    if not panels:
        return None
    rank = {metric: position for position, metric in enumerate(settings.primary)}
    panels = sorted(panels, key=lambda panel: rank[panel[1].metric])[:MAX_PANELS]
    palette = palette_of(rows, settings)
    figure, axes = grid(len(panels), (WIDTH / 2, 0.34 * len(palette) + 1.5), across=2)
    for axis, (dataset, column, shown) in zip(axes, panels, strict=True):
        _score_panel(axis, shown, column, palette)
        axis.set_title(dataset)
    return figure


def _score_panel(axis: Axes, rows: list[Row], column: Column, palette: Mapping[str, str]) -> None:
    one_protocol(rows, f"figure of {column.metric}")
    last = [row for row in rows if row.weights == "last"]
    present = {row.experiment for row in last}
    order = [name for name in palette if name in present]
    sns.stripplot(
        plotted(last), x="value", y="experiment", hue="experiment", order=order, palette=dict(palette), size=6,
        jitter=0, alpha=0.7, legend=False, ax=axis,
    )  # fmt: skip
    for position, name in enumerate(order):
        over = summarise(list(seed_means([row for row in last if row.experiment == name], name).values()))
        if over.mean is not None:
            axis.plot([over.mean] * 2, [position - 0.24, position + 0.24], color=palette[name], linewidth=2)
        if over.low is not None and over.high is not None:
            axis.plot([over.low, over.high], [position] * 2, color=palette[name], linewidth=1.2)
    untrained = plotted(row for row in rows if row.weights == "untrained" and row.experiment in present)
    positions = [order.index(name) for name in untrained.experiment]
    edges = [palette[name] for name in untrained.experiment]
    axis.scatter(untrained.value, positions, s=30, facecolors="none", edgecolors=edges, linewidths=1)
    axis.set_ylim(len(order) - 0.4, -0.6)
    _reference_lines(axis, [row for row in rows if row.is_control])
    axis.set(ylabel="", xlabel=column.title)
    axis.grid(axis="x")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.margins(x=0.08)


def _reference_lines(axis: Axes, rows: list[Row]) -> None:
    """Draw the controls as labelled dashed lines."""
    for weights in dict.fromkeys(row.weights for row in rows):
        values = [row.value for row in rows if row.weights == weights and row.value is not None]
        value = sum(values) / len(values)
        axis.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        axis.annotate(
            control_label(weights), (value, 0.98), (3, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", rotation=90, fontsize=7, color=MUTED, va="top", ha="left",
        )  # fmt: skip


def complexity_figure(scores: Scores, settings: Mapping[Task, TaskSettings]) -> Figure | None:
    """Draw the first primary score of each task against parameters and MACs: a dot per network, averaged over seeds."""
    panels = []
    for task, task_settings in settings.items():
        rows = scores.measured.where(task=task, weights="last", status="ok")
        found = (_costs(rows.where(dataset=name), task_settings) for name in rows.distinct("dataset"))
        costs = next(filter(None, found), None)
        panels += [(task_settings, rows, cost, *costs) for cost in ("params", "macs")] if costs else []
    if not panels:
        return None
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, (task_settings, rows, cost, points, column) in zip(axes, panels, strict=True):
        known = palette_of(rows, task_settings)
        shades = {name: known.get(name, MUTED) for name in points["experiment"]}
        sns.scatterplot(points, x=cost, y="score", hue="experiment", palette=shades, s=46, ax=axis, legend=False)
        axis.set(xlabel="parameters" if cost == "params" else "MACs", ylabel=column.title)
        axis.set_title(f"{task_settings.title}: {points['dataset'].iloc[0]}")
        axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.margins(x=0.3, y=0.25)
        _label_points(axis, points, cost)
    return figure


def _costs(rows: Scores, settings: TaskSettings) -> tuple[pd.DataFrame, Column] | None:
    """Return mean score, parameters and MACs of two or more networks on one dataset, except ablations, or None."""
    rows = without_ablations(rows, settings)
    for column in columns_of(rows.where(metric=settings.primary), settings.primary):
        points = []
        for name in rows.distinct("experiment"):
            scored = rows.where(experiment=name)
            values = [
                _mean(in_column(scored, column)),
                *(_mean(scored.where(metric=cost)) for cost in ("params", "macs")),
            ]
            if None not in values:
                points.append((name, scored[0].dataset, *values))
        if len(points) > 1:
            for cost in ("params", "macs"):
                one_protocol(rows.where(metric=cost), f"figure of {cost}")
            return pd.DataFrame(points, columns=["experiment", "dataset", "score", "params", "macs"]), column
    return None


def _mean(rows: Iterable[Row]) -> float | None:
    return summarise([row.value for row in rows if row.value is not None]).mean


def _label_points(axis: Axes, points: pd.DataFrame, cost: str) -> None:
    """Label the dots on the side with more space, and move up labels that would overlap."""
    middle = (points[cost].min() + points[cost].max()) / 2
    points_per_pixel = 72 / axis.figure.dpi
    highest = {True: -float("inf"), False: -float("inf")}
    for name, x, y in sorted(zip(points["experiment"], points[cost], points["score"], strict=True), key=lambda p: p[2]):
        left = x > middle
        own = axis.transData.transform((x, y))[1] * points_per_pixel
        highest[left] = max(own - 2, highest[left] + LABEL_HEIGHT)
        axis.annotate(
            name, (x, y), (-6 if left else 6, highest[left] - own), textcoords="offset points", fontsize=7, color=INK,
            ha="right" if left else "left",
        )  # fmt: skip


def ablation_figure(scores: Scores, settings: Mapping[Task, TaskSettings]) -> Figure | None:
    """Draw the score at each level of every integer factor: seeds, a line through their means, the base in colour."""
    panels = []
    for task, task_settings in settings.items():
        here = scores.where(task=task)
        for ablation in find_ablations(here, task_settings):
            for factor in ablation.factors:
                points = _levels(here, ablation, factor, task_settings)
                panels += [(ablation, factor, *points)] if points else []
    if not panels:
        return None
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, (ablation, factor, points, column) in zip(axes, panels, strict=True):
        order = sorted(points["level"].unique())
        means = points.groupby("level")["value"].mean()
        axis.plot(range(len(order)), [means[level] for level in order], color=MUTED, linewidth=1, zorder=0)
        sns.stripplot(
            points, x="level", y="value", order=order, hue="is_base", palette={True: SLIM, False: INK}, size=6,
            jitter=0, alpha=0.75, legend=False, ax=axis,
        )  # fmt: skip
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
        points = points.assign(level=points["experiment"].map(levels), is_base=points["experiment"] == ablation.base)
        if points["level"].nunique() > 1:
            return points, column
    return None


def fd_curve_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Draw the Fréchet distance against the number of generated images, from `details.curve` of the scores."""
    points = []
    rows = without_ablations(scores.measured.where(weights="last", status="ok"), settings)
    for row in rows:
        for n, value in row.extras.get("curve", {}).items():
            point = {"n": int(n), "value": value, "experiment": row.experiment, "seed": row.seed}
            points.append(point | {"dataset": row.dataset, "metric": row.metric, "protocol": row.protocol})
    if not points:
        return None
    palette = palette_of(rows, settings)
    panels = list(pd.DataFrame(points).groupby(["dataset", "metric", "protocol"], sort=False))
    rank = {metric: position for position, metric in enumerate(settings.primary)}
    panels = sorted(panels, key=lambda panel: rank.get(panel[0][1], len(rank)))[:MAX_PANELS]
    figure, axes = grid(len(panels), (WIDTH / 2, 2.6), across=2)
    for axis, ((dataset, metric, _), part) in zip(axes, panels, strict=True):
        order = [name for name in palette if name in set(part["experiment"])]
        sns.lineplot(
            part, x="n", y="value", hue="experiment", hue_order=order, units="seed", estimator=None, palette=palette,
            marker="o", markersize=4, linewidth=1, ax=axis,
        )  # fmt: skip
        axis.legend(title=None, fontsize=8)
        axis.set(
            xscale="log", xlabel="number of generated images", ylabel=f"{metric_of(metric).label} {ARROWS['lower']}"
        )
        counts = sorted(part["n"].unique())
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set_title(dataset)
    return figure
