"""Seaborn figures from the tidy table (and the history.csv of each run). Each returns None where there is nothing to draw."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.metrics.protocol import same_protocol
from bench.report.frame import Column, columns_of, details_of, rows_of, score_rows, training_rows
from bench.report.names import ARROWS, control_label, metric_of
from bench.report.settings import TaskSettings
from bench.report.statistics import summarise
from bench.report.style import INK, MUTED, SLIM, colours
from bench.report.tables import ablations_of, arguments_of, experiments_of, is_ablation, role_of, without_ablations

WIDTH = 7.6
SKIPPED = ("step", "seconds", "epoch", "scale", "images_per_second", "peak_memory_bytes")


def palette_of(rows: pd.DataFrame, settings: TaskSettings) -> dict[str, str]:
    groups: dict[str, list[str]] = {"slim": [], "rival": [], "method": [], "control": []}
    for name in experiments_of(rows, settings):
        groups[role_of(name, settings)].append(name)
    return colours(groups["slim"], groups["rival"], groups["control"] + groups["method"])


def scores_figure(frame: pd.DataFrame, task: str, settings: TaskSettings) -> Figure | None:
    """A panel per data set and primary metric: a point per seed, the mean, its interval from three seeds, controls as lines."""
    rows = _main_scores(frame, task, settings)
    columns = [column for column in columns_of(rows, settings.primary) if column.main and column.protocol]
    panels = [(d, c) for d in rows["dataset"].unique() for c in columns if len(_finished(rows, d, c))][:24]
    if not panels:
        return None
    palette = palette_of(rows, settings)
    figure, axes = _grid(len(panels), each=(WIDTH / min(len(panels), 2), 0.36 * len(palette) + 1.5), across=2)
    for axis, (dataset, column) in zip(axes, panels, strict=True):
        _score_panel(axis, rows[rows["dataset"] == dataset], column, palette)
        axis.set_title(dataset)
    figure.tight_layout(h_pad=1.6, w_pad=2.0)
    return figure


def _main_scores(frame: pd.DataFrame, task: str, settings: TaskSettings) -> pd.DataFrame:
    rows = score_rows(frame)
    rows = rows[(rows["task"] == task) & rows["metric"].isin(settings.primary)]
    return without_ablations(rows, settings)


def _finished(rows: pd.DataFrame, dataset: str, column: Column) -> pd.DataFrame:
    mine = rows_of(rows[(rows["dataset"] == dataset) & (rows["selection"] == "last")], column)
    return mine[mine["status"] == "ok"].dropna(subset=["value"])


def _score_panel(axis: Axes, rows: pd.DataFrame, column: Column, palette: dict[str, str]) -> None:
    rows = rows_of(rows, column)
    rows = rows[rows["status"] == "ok"].dropna(subset=["value"])
    same_protocol(rows["protocol"], f"figure of {column.metric}")
    last = rows[rows["selection"] == "last"]
    order = [name for name in palette if name in set(last["experiment"])]
    shared = {"data": last, "x": "value", "y": "experiment", "hue": "experiment", "order": order, "ax": axis}
    sns.stripplot(**shared, palette=palette, size=5.5, jitter=0, alpha=0.75, legend=False)
    for position, name in enumerate(order):
        over = summarise(last.loc[last["experiment"] == name].groupby("seed")["value"].mean().to_list())
        axis.plot([over.mean] * 2, [position - 0.22, position + 0.22], color=palette[name], linewidth=2)
        if over.low is not None:
            axis.plot([over.low, over.high], [position] * 2, color=palette[name], linewidth=1.2)
    _reference_lines(axis, rows, column)
    unit = f", {column.unit}" if column.unit else ""
    axis.set(ylabel="", xlabel=f"{metric_of(column.metric).label} {ARROWS[column.direction]}{unit}")
    axis.grid(axis="x")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)


def _reference_lines(axis: Axes, rows: pd.DataFrame, column: Column) -> None:
    """Controls and the untrained networks as dashed lines, named at the top end."""
    top = axis.get_ylim()[1]
    for selection, group in rows[~rows["selection"].isin(["last", "best"])].groupby("selection"):
        value = group["value"].mean()
        axis.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        axis.annotate(
            control_label(selection), (value, top), (2, -2), textcoords="offset points", rotation=90, fontsize=6.5,
            color=MUTED, va="top", ha="left",
        )  # fmt: skip


def curves_figure(frame: pd.DataFrame, task: str, settings: TaskSettings, scale_dir: Path) -> Figure | None:
    """Training curves: a panel per logged quantity, a line per seed, of the first data set of the task."""
    runs = training_rows(frame)
    runs = without_ablations(runs[runs["task"] == task], settings)
    history = _histories(runs[runs["dataset"] == runs["dataset"].min()], scale_dir)
    if history.empty:
        return None
    names = [name for name in history.columns if _is_curve(history, name)][:6]
    if not names:
        return None
    palette = palette_of(runs, settings)
    figure, axes = _grid(len(names), each=(WIDTH / min(len(names), 3), 2.1), across=3)
    for axis, name in zip(axes, names, strict=True):
        sns.lineplot(
            history, x="step", y=name, hue="experiment", hue_order=[e for e in palette if e in set(history["experiment"])],
            units="seed", estimator=None, palette=palette, linewidth=1.0, alpha=0.85, ax=axis, legend=axis is axes[0],
        )  # fmt: skip
        axis.set(title=name.replace("_", " "), ylabel="", xlabel="step")
    _one_legend(figure, axes[0])
    figure.tight_layout()
    return figure


def _histories(runs: pd.DataFrame, scale_dir: Path) -> pd.DataFrame:
    parts = []
    for row in runs.to_dict("records"):
        path = scale_dir / row["run_dir"] / "history.csv"
        if path.exists() and path.stat().st_size:
            part = pd.read_csv(path, on_bad_lines="skip")
            if "step" in part.columns:
                parts.append(part.assign(experiment=row["experiment"], seed=row["seed"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _is_curve(history: pd.DataFrame, name: str) -> bool:
    if name in (*SKIPPED, "experiment", "seed") or name.startswith(("lr", "learning_rate")):
        return False
    return pd.api.types.is_numeric_dtype(history[name]) and history[name].nunique() > 1


def complexity_figure(frame: pd.DataFrame, settings: dict[str, TaskSettings]) -> Figure | None:
    """The first primary score of each task against parameters and MACs: a dot per network, seeds averaged."""
    panels = []
    for task, task_settings in settings.items():
        rows = score_rows(frame)
        rows = rows[(rows["task"] == task) & (rows["selection"] == "last") & (rows["status"] == "ok")]
        for cost in ("params", "macs"):
            points, column = _cost_points(rows, cost, task_settings)
            if len(points) > 1:
                panels.append((task_settings, rows, cost, points, column))
    if not panels:
        return None
    figure, axes = _grid(len(panels), each=(WIDTH / 2, 2.5), across=2)
    for axis, (task_settings, rows, cost, points, column) in zip(axes, panels, strict=True):
        palette = palette_of(rows, task_settings) | {
            n: MUTED for n in points["experiment"] if is_ablation(n, task_settings)
        }
        sns.scatterplot(points, x=cost, y="score", hue="experiment", palette=palette, s=42, ax=axis, legend=False)
        for row in points.to_dict("records"):
            axis.annotate(
                row["experiment"], (row[cost], row["score"]), (5, 3), textcoords="offset points", fontsize=6.5
            )
        label = metric_of(column.metric).label
        axis.set(xlabel="parameters" if cost == "params" else "MACs", ylabel=f"{label} {ARROWS[column.direction]}")
        axis.set_title(f"{task_settings.title}, {points['dataset'].iloc[0]}")
        axis.xaxis.set_major_formatter(plt.matplotlib.ticker.EngFormatter(sep=""))
        axis.margins(x=0.25, y=0.2)
    figure.tight_layout(h_pad=1.5)
    return figure


def _cost_points(rows: pd.DataFrame, cost: str, settings: TaskSettings) -> tuple[pd.DataFrame, Column | None]:
    """Mean score and cost of each network on the task's first data set that has both."""
    for column in columns_of(rows[rows["metric"].isin(settings.primary)], settings.primary):
        for dataset in rows["dataset"].unique():
            here = rows[rows["dataset"] == dataset]
            scores = rows_of(here, column).groupby("experiment")["value"].mean()
            costs = here[here["metric"] == cost]
            same_protocol(costs["protocol"], f"figure of {cost} on {dataset}")
            points = pd.DataFrame({"score": scores, cost: costs.groupby("experiment")["value"].mean()}).dropna()
            if len(points) > 1:
                return points.reset_index().assign(dataset=dataset), column
    return pd.DataFrame(), None


def ablation_figure(frame: pd.DataFrame, settings: dict[str, TaskSettings]) -> Figure | None:
    """Score by level of each numeric factor (group count first): a point per seed, the means joined."""
    panels = []
    for task_settings in settings.values():
        for base, dataset, variations in ablations_of(frame, task_settings):
            for factor in dict.fromkeys(
                name for _, name, level in variations if isinstance(level, int) and level is not True
            ):
                panels.append((task_settings, base, dataset, factor, variations))
    drawn = [(panel, points) for panel in panels if len(points := _levels(frame, *panel)) > 1]
    if not drawn:
        return None
    figure, axes = _grid(len(drawn), each=(WIDTH / min(2, len(drawn)), 2.4), across=2)
    for axis, ((_, base, dataset, factor, _), points) in zip(axes, drawn, strict=True):
        _ablation_panel(axis, points, f"{base} on {dataset}", factor)
    figure.tight_layout(h_pad=1.5)
    return figure


def _levels(
    frame: pd.DataFrame, settings: TaskSettings, base: str, dataset: str, factor: str, variations: Sequence
) -> pd.DataFrame:
    """Finished scores of the base and of each level of `factor`, on the first ablation metric that has any."""
    rows = score_rows(frame)
    rows = rows[(rows["dataset"] == dataset) & (rows["selection"] == "last") & (rows["status"] == "ok")]
    runs = training_rows(frame).drop_duplicates("experiment").set_index("experiment")
    levels = {name: level for name, changed, level in variations if changed == factor}
    levels[base] = arguments_of(runs.loc[base]).get(factor)
    rows = rows[rows["experiment"].isin(levels)]
    for column in columns_of(rows[rows["metric"].isin(settings.ablation_metrics)], settings.ablation_metrics):
        points = rows_of(rows, column).dropna(subset=["value"])
        if len(points):
            points = points.assign(level=points["experiment"].map(levels), is_base=points["experiment"] == base)
            return points.dropna(subset=["level"])
    return pd.DataFrame()


def _ablation_panel(axis: Axes, points: pd.DataFrame, title: str, factor: str) -> None:
    same_protocol(points["protocol"], f"ablation figure, {title}")
    order = sorted(points["level"].unique())
    means = points.groupby("level")["value"].mean()
    axis.plot(range(len(order)), [means[level] for level in order], color=MUTED, linewidth=1)
    sns.stripplot(
        points, x="level", y="value", order=order, hue="is_base", palette={True: SLIM, False: INK}, size=5.5, jitter=0,
        ax=axis, legend=False,
    )  # fmt: skip
    column = points.iloc[0]
    axis.set(xlabel=factor.replace("_", " "), title=title)
    axis.set_ylabel(f"{metric_of(column['metric']).label} {ARROWS[column['direction']]}")


def fd_curve_figure(frame: pd.DataFrame, settings: TaskSettings) -> Figure | None:
    """Distance against the number of fakes, from the curve kept in a score's details ({n_fake: distance})."""
    points = []
    for row in score_rows(frame).query("selection == 'last' and status == 'ok'").to_dict("records"):
        for n, value in details_of(row).get("curve", {}).items():
            points.append(
                {"n_fake": int(n), "value": value} | {k: row[k] for k in ("experiment", "seed", "dataset", "metric")}
            )
    curve = pd.DataFrame(points)
    if curve.empty:
        return None
    panels = list(curve.groupby(["dataset", "metric"], sort=False))
    figure, axes = _grid(len(panels), each=(WIDTH / min(2, len(panels)), 2.6), across=2)
    rows = frame[frame["task"] == "fewshot"]
    palette = palette_of(rows, settings)
    for axis, ((dataset, metric), part) in zip(axes, panels, strict=True):
        part = part[part["experiment"].isin(palette)]
        sns.lineplot(
            part, x="n_fake", y="value", hue="experiment", units="seed", estimator=None, palette=palette, marker="o",
            markersize=4, linewidth=1, ax=axis, legend=axis is axes[0],
        )  # fmt: skip
        axis.set(title=dataset, xlabel="generated images", ylabel=f"{metric_of(metric).label} ↓")
    _one_legend(figure, axes[0])
    figure.tight_layout()
    return figure


def calibration_figure(frame: pd.DataFrame, settings: TaskSettings) -> Figure | None:
    """Reliability: accuracy against confidence, from the bins kept in the details of `ece` ([[count, confidence, accuracy]])."""
    rows = score_rows(frame).query("metric == 'ece' and selection == 'last' and status == 'ok'")
    points = []
    for row in rows.to_dict("records"):
        for count, confidence, accuracy in details_of(row).get("bins", []):
            if count:
                points.append(
                    {
                        "confidence": confidence,
                        "accuracy": accuracy,
                        "experiment": row["experiment"],
                        "seed": row["seed"],
                    }
                )
    table = pd.DataFrame(points)
    if table.empty:
        return None
    figure, axis = plt.subplots(figsize=(4.2, 3.4))
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    palette = palette_of(frame[frame["task"] == "classification"], settings)
    table = table[table["experiment"].isin(palette)]
    sns.lineplot(
        table, x="confidence", y="accuracy", hue="experiment", units="seed", estimator=None, palette=palette, marker="o",
        markersize=4, linewidth=1, ax=axis,
    )  # fmt: skip
    axis.legend(title=None, fontsize=7)
    figure.tight_layout()
    return figure


def _grid(count: int, each: tuple[float, float], across: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, `across` to a row."""
    wide = min(count, across)
    high = math.ceil(count / wide)
    figure, axes = plt.subplots(high, wide, figsize=(each[0] * wide, each[1] * high), squeeze=False)
    flat: list[Axes] = list(np.ravel(axes))
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat[:count]


def _one_legend(figure: Figure, axis: Axes) -> None:
    """The legend of one panel, moved above all of them."""
    legend = axis.get_legend()
    if legend is None:
        return
    handles, labels = axis.get_legend_handles_labels()
    legend.remove()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 1.0), ncols=min(4, len(labels)), fontsize=8)
