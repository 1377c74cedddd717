"""Accuracy of each class, confusion matrices and reliability diagrams of the classifiers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bench.claims import TaskSettings
from bench.report.compare.statistics import summarise
from bench.report.figures.drawing import grid, legend_above
from bench.report.figures.plots import styles_of
from bench.report.figures.style import MUTED, WIDTH, draw_lines
from bench.report.read.experiment_roles import experiments_of, without_ablations
from bench.report.read.names import format_value
from bench.report.read.scores import Row, Scores, one_protocol
from bench.report.tables.comparison import comparison_records
from bench.report.tables.table import Head, Table, TableCell

MAX_CLASSES = 20
"""Maximum number of classes in a table or figure. scores.csv contains the values of all classes."""
SHARES = LinearSegmentedColormap.from_list("share", ["#ffffff", "#0a6a94"])
"""Colour map of the confusion matrix. The map has no series colour, because dark pages make series colours lighter."""


def per_class_table(scores: Scores, dataset: str, settings: TaskSettings) -> Table | None:
    """Return the top-1 accuracy of each class, averaged over seeds, with a row per class and a column per network.

    Raises ProtocolError if the protocols of the networks differ.
    """
    found = _top1(scores, dataset, settings, "per_class")
    if not found:
        return None
    names = _class_names(next(iter(found.values()))[0])
    protocol = one_protocol((row for rows in found.values() for row in rows), f"{dataset}, by class")
    lines = []
    for index, name in enumerate(names):
        means = (summarise([row.extras["per_class"][index] for row in rows]).mean for rows in found.values())
        lines.append((TableCell(name), *(TableCell(format_value("top1", mean)) for mean in means)))
    head = (Head("class", numeric=False), *(Head(experiment, protocol or "") for experiment in found))
    return Table(f"{dataset}: top-1 accuracy of each class, %", head, tuple(lines))


def per_class_records(scores: Scores) -> list[dict[str, Any]]:
    """Return the top-1 accuracy of every class in full precision, with the keys of `comparison_records`."""
    rows = scores.measured.where(metric="top1", status="ok")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.experiment, row.weights, row.metric, row.protocol), []).append(row)
    found = []
    for group in groups.values():
        detailed = [(row, row.extras) for row in group]
        detailed = [(row, extras) for row, extras in detailed if extras.get("per_class")]
        if detailed:
            names = _class_names(detailed[0][0])
            for index, name in enumerate(names):
                kept = [replace(row, value=extras["per_class"][index]) for row, extras in detailed]
                found += [record | {"class": name} for record in comparison_records(Scores(kept))]
    return found


def confusion_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Return the confusion matrix of each network in percent of the true class (row), summed over seeds."""
    for dataset in scores.distinct("dataset"):
        found = _top1(scores, dataset, settings, "confusion")
        if found:
            one_protocol((row for rows in found.values() for row in rows), f"confusion on {dataset}")
            return _draw_confusion(found, dataset)
    return None


def _draw_confusion(found: dict[str, list[Row]], dataset: str) -> Figure:
    classes = max(len(row.extras["confusion"]) for rows in found.values() for row in rows)
    across = 3 if classes <= MAX_CLASSES // 2 else 2
    figure, axes = grid(len(found), (1.2 / across * WIDTH, 1.2 / across * WIDTH), across)
    for axis, (experiment, rows) in zip(axes, found.items(), strict=True):
        counts = np.sum([row.extras["confusion"] for row in rows], axis=0)
        percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        names = [name.replace("$", r"\$") for name in _class_names(rows[0])]  # $ would start LaTeX math
        sns.heatmap(
            percent, vmin=0, vmax=100, cmap=SHARES, cbar=False, square=True, linewidths=0.4, ax=axis,
            annot=True, fmt=".0f", annot_kws={"size": min(6.5, 90 / len(names))}, xticklabels=names, yticklabels=names,
        )  # fmt: skip
        axis.tick_params(length=0, labelsize=6.5)
        axis.tick_params(axis="y", labelrotation=0)
        axis.set(xlabel="predicted class", ylabel="true class")
        axis.set_title(f"{experiment}: {dataset}")
    return figure


def _top1(scores: Scores, dataset: str, settings: TaskSettings, detail: str) -> dict[str, list[Row]]:
    """Return, by experiment, the finished rows of `last` weights with `detail` for at most MAX_CLASSES classes."""
    rows = without_ablations(scores.where(metric="top1", dataset=dataset, weights="last", status="ok"), settings)
    selected = [row for row in rows if 0 < len(row.extras.get(detail, ())) <= MAX_CLASSES]
    by_name = {name: [row for row in selected if row.experiment == name] for name in experiments_of(rows, settings)}
    return {name: rows for name, rows in by_name.items() if rows}


def _class_names(row: Row) -> list[str]:
    extras: dict[str, Any] = row.extras
    return extras.get("classes") or [str(index) for index in range(len(extras["per_class"]))]


def calibration_figure(scores: Scores, settings: TaskSettings) -> Figure | None:
    """Return the reliability diagram from the bins of `ece`, each [count, confidence, accuracy]."""
    rows = without_ablations(scores.measured.where(metric="ece", weights="last", status="ok"), settings)
    rows = rows.where(dataset=rows.distinct("dataset")[:1])
    one_protocol(rows, "figure of calibration")
    bins = [(row.experiment, row.seed, *point) for row in rows for count, *point in row.extras.get("bins", []) if count]
    if not bins:
        return None
    curves = pd.DataFrame(bins, columns=["experiment", "seed", "confidence", "accuracy"])
    shown = set(curves["experiment"])
    styles = {name: style for name, style in styles_of(rows, settings).items() if name in shown}
    figure, (axis,) = grid(1, (WIDTH * 0.56, 3.2), across=1)
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    draw_lines(axis, curves, "confidence", "accuracy", styles)
    axis.set(xlabel="confidence", ylabel="accuracy")
    axis.set_title(rows[0].dataset)
    legend_above(figure, styles)
    return figure
