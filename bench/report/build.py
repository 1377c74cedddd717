"""From scores.csv to files: every table, figure and picture of the report, and what the page says about them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report import figures, pictures, style, tables
from bench.report.claims import Answer, answer_claims
from bench.report.frame import read_scores
from bench.report.names import TASKS
from bench.report.outputs import FIGURES, PICTURES
from bench.report.paired import Result, compare
from bench.report.settings import Settings, load_published, load_settings
from bench.report.table import Table, write_tables

NOTHING = "Nothing to show yet: no finished run has what this needs."


@dataclass(frozen=True)
class Report:
    """Everything the page shows. `drawn`: stems of the figures and pictures that hold more than words."""

    scale: str
    frame: pd.DataFrame
    settings: Settings
    answers: list[Answer]
    results: list[Result]
    tables: dict[str, list[Table]]
    drawn: frozenset[str]


def build(scale_dir: Path, out: Path, config: Path) -> Report:
    """Write tables/ and figures/ under `out`, reading `scale_dir`/scores.csv and the run folders' pictures and histories."""
    frame = read_scores(scale_dir / "scores.csv")
    settings = load_settings(config / "claims.yaml")
    published = load_published(config / "published.csv")
    scale = frame["scale"].iloc[0] if len(frame) else scale_dir.name
    results = compare(frame, settings)
    answers = answer_claims(frame, settings, scale)
    made: dict[str, list[Table]] = {
        "summary": [tables.summary_table(results, frame, settings)],
        "ablations": _ablation_tables(frame, settings),
        "paired": [tables.paired_table(results, settings)],
        "claims": [tables.claims_table(answers)],
        "published": [tables.published_table(frame, published, settings, scale)],
        "runs": [tables.runs_table(frame)],
    }
    for task in TASKS:
        rows = frame[frame["task"] == task]
        if task in settings.tasks:
            names = rows["dataset"].unique()
            made[task] = [tables.comparison_table(frame, task, name, settings.tasks[task]) for name in names]
    for name, group in made.items():
        records = tables.comparison_records(frame, name) if name in TASKS else None
        write_tables(out / "tables" / name, group, records)
    drawn = _draw(frame, settings, scale_dir, out) | _picture(frame, settings, scale_dir, out)
    return Report(scale, frame, settings, answers, results, made, frozenset(drawn))


def _ablation_tables(frame: pd.DataFrame, settings: Settings) -> list[Table]:
    return [
        tables.ablation_table(frame, base, dataset, variations, task_settings)
        for task_settings in settings.tasks.values()
        for base, dataset, variations in tables.ablations_of(frame, task_settings)
    ]


def _draw(frame: pd.DataFrame, settings: Settings, scale_dir: Path, out: Path) -> set[str]:
    """Draw every figure of FIGURES; where there is nothing to draw the file says so in words."""
    style.use_theme()
    makers: dict[str, Callable[[], Any]] = {
        "figures/complexity": lambda: figures.complexity_figure(frame, settings.tasks),
        "figures/ablations": lambda: figures.ablation_figure(frame, settings.tasks),
        "figures/fd_curve": lambda: figures.fd_curve_figure(frame, settings.tasks["fewshot"]),
        "figures/calibration": lambda: figures.calibration_figure(frame, settings.tasks["classification"]),
    }
    for task, task_settings in settings.tasks.items():
        makers[f"figures/scores_{task}"] = lambda t=task, s=task_settings: figures.scores_figure(frame, t, s)
        makers[f"figures/curves_{task}"] = lambda t=task, s=task_settings: figures.curves_figure(frame, t, s, scale_dir)
    drawn = set()
    for stem in FIGURES:
        figure = makers[stem]() if stem in makers else None
        if figure is None:
            style.save_words(out / stem, NOTHING)
        else:
            style.save(figure, out / stem)
            drawn.add(stem)
    return drawn


def _picture(frame: pd.DataFrame, settings: Settings, scale_dir: Path, out: Path) -> set[str]:
    makers = {
        "figures/samples_fewshot": pictures.samples_picture,
        "figures/strip_fewshot": pictures.strip_picture,
        "figures/neighbours": pictures.neighbours_picture,
        "figures/pictures_oneshot": pictures.oneshot_picture,
    }
    drawn = set()
    for stem in PICTURES:
        image = makers[stem](frame, settings, scale_dir)
        path = out / f"{stem}.png"
        if image is None:
            pictures.save_placeholder(path, NOTHING)
        else:
            pictures.save_sheet(path, image)
            drawn.add(stem)
    return drawn
