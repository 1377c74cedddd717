"""Training curves from history.csv in the run folders."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bench.claims import TaskSettings
from bench.report.figures.drawing import grid, legend_above
from bench.report.figures.plots import styles_of
from bench.report.figures.style import WIDTH, Series, draw_lines
from bench.report.read.experiment_roles import without_ablations
from bench.report.read.history import read_history
from bench.report.read.scores import Row, Scores

MAX_CURVES = 6
NOT_CURVES = ("step", "epoch", "scale", "seconds", "images_per_second", "peak_memory_bytes", "experiment", "seed")
RATES = ("lr", "learning_rate")
MARKERS_PER_LINE = 4


def curves_figure(scores: Scores, settings: TaskSettings, scale_dir: Path) -> Figure | None:
    """Plot the logged scalars of the first dataset with a history: one panel per scalar, one line per seed."""
    runs = without_ablations(scores.runs, settings)
    for dataset in runs.distinct("dataset"):
        history = _histories(runs.where(dataset=dataset), scale_dir)
        logged = [name for name in history.columns if name not in NOT_CURVES and not name.startswith(RATES)]
        names = [name for name in logged if history[name].nunique() > 1][:MAX_CURVES]
        if names:
            return _draw(history, names, styles_of(runs, settings), dataset)
    return None


def _histories(runs: Iterable[Row], scale_dir: Path) -> pd.DataFrame:
    """Return the logged scalars of all runs with their experiment and seed. Values that are not finite are NaN."""
    parts = []
    for row in runs:
        columns = read_history(scale_dir / row.run_dir / "history.csv")
        if columns.get("step"):
            parts.append(pd.DataFrame(columns).assign(experiment=row.experiment, seed=row.seed))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return found.replace([np.inf, -np.inf], np.nan)


def _draw(history: pd.DataFrame, names: list[str], styles: dict[str, Series], dataset: str) -> Figure:
    shown = set(history["experiment"])
    styles = {name: style for name, style in styles.items() if name in shown}
    across = min(3, len(names))
    figure, axes = grid(len(names), (WIDTH / across, 2.1), across=across)
    for axis, name in zip(axes, names, strict=True):
        draw_lines(axis, history.dropna(subset=["step", name]), "step", name, styles)
        _thin_markers(axis, [style.colour for style in styles.values()])
        axis.set(ylabel=name.replace("_", " "), xlabel="step")
        axis.set_title(dataset)
    legend_above(figure, styles)
    return figure


def _thin_markers(axis: Axes, colours: list[str]) -> None:
    """Draw MARKERS_PER_LINE markers on each line, shifted per colour so that equal curves show all markers."""
    for line in axis.lines:
        every = max(1, np.size(line.get_xdata()) // MARKERS_PER_LINE)
        line.set_markevery((every * colours.index(to_hex(line.get_color())) // len(colours), every))
