"""Training curves from history.csv in the run folders."""

from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from bench.claims import TaskSettings
from bench.report.figures.plots import palette_of
from bench.report.figures.style import WIDTH, grid, legend_above
from bench.report.read.experiment_roles import without_ablations
from bench.report.read.scores import Scores

MAX_CURVES = 6
NOT_CURVES = ("step", "epoch", "scale", "seconds", "images_per_second", "peak_memory_bytes", "experiment", "seed")
RATES = ("lr", "learning_rate")


def curves_figure(scores: Scores, settings: TaskSettings, scale_dir: Path) -> Figure | None:
    """Plot the logged scalars of the first dataset with a history: one panel per scalar, one line per seed."""
    runs = without_ablations(scores.runs, settings)
    for dataset in runs.distinct("dataset"):
        history = _histories(runs.where(dataset=dataset), scale_dir)
        logged = [name for name in history.columns if name not in NOT_CURVES and not name.startswith(RATES)]
        numeric = [name for name in logged if pd.api.types.is_numeric_dtype(history[name])]
        names = [name for name in numeric if history[name].nunique() > 1][:MAX_CURVES]
        if names:
            return _draw(history, names, palette_of(runs, settings), dataset)
    return None


def _draw(history: pd.DataFrame, names: list[str], palette: dict[str, str], dataset: str) -> Figure:
    order = [name for name in palette if name in set(history["experiment"])]
    across = min(3, len(names))
    figure, axes = grid(len(names), (WIDTH / across, 2.1), across=across)
    for axis, name in zip(axes, names, strict=True):
        sns.lineplot(
            history, x="step", y=name, hue="experiment", hue_order=order, units="seed", estimator=None, palette=palette,
            linewidth=1.0, alpha=0.85, ax=axis, legend=axis is axes[0],
        )  # fmt: skip
        axis.set(ylabel=name.replace("_", " "), xlabel="step")
        axis.set_title(dataset)
    legend_above(figure, axes[0])
    return figure


def _histories(runs: Scores, scale_dir: Path) -> pd.DataFrame:
    parts = []
    for row in runs:
        path = scale_dir / row.run_dir / "history.csv"
        if path.exists() and path.stat().st_size:
            part = pd.read_csv(path, on_bad_lines="skip")
            if "step" in part.columns:
                parts.append(part.assign(experiment=row.experiment, seed=row.seed))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
