"""From scores.csv to files: every table, figure and picture of the report, and what the page says about them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.files import write_png
from bench.report.compare.claims import Answer, answer_claims
from bench.report.compare.paired import Result, compare_methods
from bench.report.figures import classification as recognition
from bench.report.figures import curves, style
from bench.report.figures import image_grids as pictures
from bench.report.figures import plots as figures
from bench.report.outputs import FIGURES, PICTURES
from bench.report.read.scores import Scores, read_scores
from bench.report.read.settings import Published, ReportSettings, load_published, load_settings
from bench.report.tables.ablations import ablation_table, find_ablations
from bench.report.tables.comparison import comparison_records, comparison_tables
from bench.report.tables.published import published_table
from bench.report.tables.runs import runs_table
from bench.report.tables.significance import claims_table, paired_table, summary_table
from bench.report.tables.table import Table, write_tables

NOTHING = "Nothing to show yet: no finished run has what this needs."


@dataclass(frozen=True)
class Report:
    """Everything the page shows. `drawn`: stems of the figures and pictures that hold more than words."""

    scale: str
    scores: Scores
    settings: ReportSettings
    answers: list[Answer]
    tables: dict[str, list[Table]]
    drawn: frozenset[str]


def build(scale_dir: Path, config: Path) -> Report:
    """Write tables/ and figures/ from scores.csv and the pictures and histories of the runs, all under `scale_dir`."""
    scores = read_scores(scale_dir / "scores.csv")
    settings = load_settings(config / "claims.yaml")
    scale = scores[0].scale if scores else scale_dir.name
    results = compare_methods(scores, settings)
    answers = answer_claims(scores, settings, scale)
    tables = _tables(scores, settings, load_published(config / "published.csv"), results, answers)
    for task, task_settings in settings.tasks.items():
        mine = scores.where(task=task)
        names = mine.distinct("dataset")
        tables[task] = [table for name in names for table in comparison_tables(mine, name, task_settings)]
        by_class = (recognition.per_class_table(mine, name, task_settings) for name in names)
        tables[task] += [table for table in by_class if table]
        write_tables(scale_dir / "tables" / task, tables[task], comparison_records(mine))
    for name in tables.keys() - settings.tasks.keys():
        write_tables(scale_dir / "tables" / name, tables[name])
    drawn = _draw(scores, settings, scale_dir) | _picture(scores, settings, scale_dir)
    return Report(scale, scores, settings, answers, tables, frozenset(drawn))


def _tables(
    scores: Scores, settings: ReportSettings, published: list[Published], results: list[Result], answers: list[Answer]
) -> dict[str, list[Table]]:
    scale = scores[0].scale if scores else ""
    return {
        "summary": [summary_table(results, scores, settings)],
        "ablations": [
            ablation_table(scores, ablation, task_settings)
            for task, task_settings in settings.tasks.items()
            for ablation in find_ablations(scores.where(task=task), task_settings)
        ],
        "paired": [paired_table(results, settings)],
        "claims": [claims_table(answers)],
        "published": [published_table(scores, published, settings, scale)],
        "runs": [runs_table(scores)],
    }


def _draw(scores: Scores, settings: ReportSettings, scale_dir: Path) -> set[str]:
    """Draw every figure of FIGURES; where there is nothing to draw the file says so in words."""
    style.use_theme()
    few, classes = scores.where(task="fewshot"), scores.where(task="classification")
    makers: dict[str, Callable[[], Any]] = {
        "figures/complexity": lambda: figures.complexity_figure(scores, settings.tasks),
        "figures/ablations": lambda: figures.ablation_figure(scores, settings.tasks),
        "figures/fd_curve": lambda: figures.fd_curve_figure(few, settings.tasks["fewshot"]),
        "figures/confusion": lambda: recognition.confusion_figure(classes, settings.tasks["classification"]),
        "figures/calibration": lambda: recognition.calibration_figure(classes, settings.tasks["classification"]),
    }
    for task, task_settings in settings.tasks.items():
        mine = (scores.where(task=task), task_settings)
        makers[f"figures/scores_{task}"] = partial(figures.scores_figure, *mine)
        makers[f"figures/curves_{task}"] = partial(curves.curves_figure, *mine, scale_dir)
    drawn = set()
    for stem in FIGURES:
        figure = makers[stem]()
        if figure is None:
            style.save_words(scale_dir / stem, NOTHING)
        else:
            style.save(figure, scale_dir / stem)
            drawn.add(stem)
    return drawn


def _picture(scores: Scores, settings: ReportSettings, scale_dir: Path) -> set[str]:
    makers = {
        "figures/samples_fewshot": pictures.samples_picture,
        "figures/strip_fewshot": pictures.strip_picture,
        "figures/neighbours": pictures.neighbours_picture,
        "figures/pictures_oneshot": pictures.oneshot_picture,
    }
    drawn = set()
    for stem in PICTURES:
        image = makers[stem](scores, settings, scale_dir)
        path = scale_dir / f"{stem}.png"
        if image is None:
            pictures.save_placeholder(path, NOTHING)
        else:
            write_png(path, image)
            drawn.add(stem)
    return drawn
