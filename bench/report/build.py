"""Write every table, figure and image grid of the report from scores.csv and the run folders."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from PIL.Image import Image

from bench.claims import ReportSettings, load_settings
from bench.files import write_png
from bench.report.compare.claims import Decision, decide_claims
from bench.report.compare.paired import Result, compare_experiments, compared_partners
from bench.report.figures import attention, classification, curves, drawing, image_grids, plots, style
from bench.report.outputs import FIGURES, IMAGE_GRIDS
from bench.report.read.audits import UsedDataset, read_used_datasets
from bench.report.read.costs import read_costs
from bench.report.read.published import Published, load_published
from bench.report.read.scores import Scores, read_scores
from bench.report.tables.ablations import ablation_table, find_ablations
from bench.report.tables.comparison import comparison_records, comparison_tables
from bench.report.tables.cost import compute_records, compute_table, cost_records, cost_table
from bench.report.tables.data import data_records, data_table
from bench.report.tables.published import published_table
from bench.report.tables.runs import runs_table
from bench.report.tables.significance import claims_table, paired_table, summary_table
from bench.report.tables.table import Table, write_tables

NO_DATA = "No finished run has the data for this figure yet."


@dataclass(frozen=True)
class Report:
    """Content of the report page. `stems`: stems of the figures and image grids that are not placeholders."""

    scale: str
    scores: Scores
    settings: ReportSettings
    decisions: list[Decision]
    tables: dict[str, list[Table]]
    stems: frozenset[str]
    datasets: list[UsedDataset]


def build(scale_dir: Path, config: Path) -> Report:
    """Write tables/ and figures/ under `scale_dir` from its scores.csv and from the samples and histories of its runs.

    Returns the content of the report page.
    """
    scores = read_scores(scale_dir / "scores.csv")
    settings = load_settings(config / "claims.yaml")
    scale = scores[0].scale if scores else scale_dir.name
    results = compare_experiments(scores, settings)
    tested = compared_partners(results, settings.alpha)
    decisions = decide_claims(scores, settings, scale)
    tables = _tables(scores, settings, load_published(config / "published.csv"), results, decisions)
    for task, task_settings in settings.tasks.items():
        task_scores = scores.where(task=task)
        names = task_scores.distinct("dataset")
        compared = (comparison_tables(task_scores, name, task_settings, tested) for name in names)
        tables[task] = [table for tables_of_dataset in compared for table in tables_of_dataset]
        by_class = (classification.per_class_table(task_scores, name, task_settings) for name in names)
        tables[task] += [table for table in by_class if table]
        values = comparison_records(task_scores) + classification.per_class_records(task_scores)
        write_tables(scale_dir / "tables" / task, tables[task], values)
    datasets = read_used_datasets(scores, scale_dir, config)
    tables["data"] = [data_table(datasets)] if datasets else []
    costs = read_costs(scale_dir, scores)
    records = {
        "data": data_records(datasets),
        "cost": cost_records(costs, settings, scale),
        "compute": compute_records(costs, settings),
    }
    tables["cost"] = [cost_table(records["cost"])]
    tables["compute"] = [compute_table(records["compute"])]
    for name in tables.keys() - settings.tasks.keys():
        write_tables(scale_dir / "tables" / name, tables[name], records.get(name))
    stems = _draw(scores, settings, scale_dir) | _draw_grids(scores, settings, scale_dir)
    return Report(scale, scores, settings, decisions, tables, frozenset(stems), datasets)


def _tables(
    scores: Scores,
    settings: ReportSettings,
    published: list[Published],
    results: list[Result],
    decisions: list[Decision],
) -> dict[str, list[Table]]:
    scale = scores[0].scale if scores else ""
    return {
        "summary": [summary_table(results, scores, settings)],
        "ablations": [
            ablation_table(scores, ablation, task_settings)
            for task, task_settings in settings.tasks.items()
            for ablation in find_ablations(scores.where(task=task), task_settings)
        ],
        "paired": [paired_table(results, scores, settings)],
        "claims": [claims_table(decisions)],
        "published": [published_table(scores, published, settings, scale)],
        "runs": [runs_table(scores)],
    }


def _draw(scores: Scores, settings: ReportSettings, scale_dir: Path) -> set[str]:
    """Draw each plot of FIGURES, or a placeholder if the plot has no data. Return the stems of the plots with data."""
    style.use_theme()
    makers = figure_makers(scores, settings, scale_dir)
    stems = set()
    for stem in FIGURES:
        figure = makers[stem]()
        if figure is None:
            drawing.save_placeholder_figure(scale_dir / stem, NO_DATA)
        else:
            drawing.save(figure, scale_dir / stem)
            stems.add(stem)
    return stems


def figure_makers(scores: Scores, settings: ReportSettings, scale_dir: Path) -> dict[str, Callable[[], Figure | None]]:
    """Return the functions that draw the plots of FIGURES, by stem. A function returns None if its data are missing."""
    few, classes = scores.where(task="fewshot"), scores.where(task="classification")
    makers: dict[str, Callable[[], Figure | None]] = {
        "figures/complexity": lambda: plots.complexity_figure(scores, settings.tasks),
        "figures/ablations": lambda: plots.ablation_figure(scores, settings.tasks),
        "figures/fd_curve": lambda: plots.fd_curve_figure(few, settings.tasks["fewshot"]),
        "figures/confusion": lambda: classification.confusion_figure(classes, settings.tasks["classification"]),
        "figures/calibration": lambda: classification.calibration_figure(classes, settings.tasks["classification"]),
    }
    for task, task_settings in settings.tasks.items():
        arguments = (scores.where(task=task), task_settings)
        makers[f"figures/scores_{task}"] = partial(plots.scores_figure, *arguments)
        makers[f"figures/curves_{task}"] = partial(curves.curves_figure, *arguments, scale_dir)
    return makers


def _draw_grids(scores: Scores, settings: ReportSettings, scale_dir: Path) -> set[str]:
    makers = grid_makers(scores, settings, scale_dir)
    stems = set()
    for stem in IMAGE_GRIDS:
        image = makers[stem]()
        path = scale_dir / f"{stem}.png"
        if image is None:
            image_grids.save_placeholder_grid(path, NO_DATA)
        else:
            write_png(path, image)
            stems.add(stem)
    return stems


def grid_makers(scores: Scores, settings: ReportSettings, scale_dir: Path) -> dict[str, Callable[[], Image | None]]:
    """Return the functions that draw the image grids of IMAGE_GRIDS, by stem.

    A function returns None if the images of its grid do not exist.
    """
    makers: dict[str, Callable[..., Image | None]] = {
        "figures/samples_fewshot": image_grids.samples_grid,
        "figures/progress_fewshot": image_grids.progress_grid,
        "figures/neighbours": image_grids.neighbours_grid,
        "figures/samples_oneshot": image_grids.oneshot_grid,
        "figures/attention_fewshot": partial(attention.attention_grid, task="fewshot"),
        "figures/attention_oneshot": partial(attention.attention_grid, task="oneshot"),
    }
    return {stem: partial(make, scores, settings, scale_dir) for stem, make in makers.items()}
