"""Training curves from history.csv in the run folders."""

import math
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from bench.claims import TaskSettings
from bench.report.figures.drawing import grid, legend_above
from bench.report.figures.plots import styles_of
from bench.report.figures.style import WIDTH, Series
from bench.report.read.experiment_roles import without_ablations
from bench.report.read.history import read_history
from bench.report.read.scores import Scores

MAX_CURVES = 6
NOT_CURVES = ("step", "epoch", "scale", "seconds", "images_per_second", "peak_memory_bytes")
RATES = ("lr", "learning_rate")
MARKERS_PER_LINE = 4
History = dict[str, list[float]]


def curves_figure(scores: Scores, settings: TaskSettings, scale_dir: Path) -> Figure | None:
    """Plot the logged scalars of the first dataset with a history: one panel per scalar, one line per seed."""
    runs = without_ablations(scores.runs, settings)
    for dataset in runs.distinct("dataset"):
        paths = [(row.experiment, scale_dir / row.run_dir / "history.csv") for row in runs.where(dataset=dataset)]
        read = [(experiment, read_history(path)) for experiment, path in paths]
        histories = [(experiment, history) for experiment, history in read if history.get("step")]
        names = _varying(history for _, history in histories)[:MAX_CURVES]
        if names:
            return _draw(histories, names, styles_of(runs, settings), dataset)
    return None


def _varying(histories: Iterable[History]) -> list[str]:
    """Return the logged scalars with two or more values, except learning rates."""
    values: dict[str, set[float]] = {}
    for history in histories:
        for name, column in history.items():
            values.setdefault(name, set()).update(filter(math.isfinite, column))
    return [
        name
        for name, found in values.items()
        if len(found) > 1 and name not in NOT_CURVES and not name.startswith(RATES)
    ]


def _draw(histories: list[tuple[str, History]], names: list[str], styles: dict[str, Series], dataset: str) -> Figure:
    shown = {experiment for experiment, _ in histories}
    styles = {name: style for name, style in styles.items() if name in shown}
    order = list(styles)
    across = min(3, len(names))
    figure, axes = grid(len(names), (WIDTH / across, 2.1), across=across)
    for axis, name in zip(axes, names, strict=True):
        for experiment, history in histories:
            points = [
                p for p in zip(history["step"], history.get(name, ()), strict=False) if all(map(math.isfinite, p))
            ]
            if points:
                every = max(1, len(points) // MARKERS_PER_LINE)
                first = every * order.index(experiment) // len(order)  # so that equal curves show all their markers
                styles[experiment].plot(axis, *zip(*points, strict=True), alpha=0.85, markevery=(first, every))
        axis.set(ylabel=name.replace("_", " "), xlabel="step")
        axis.set_title(dataset)
    legend_above(figure, styles)
    return figure
