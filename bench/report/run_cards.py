"""Renders a page without scripts for each run.

The page shows scores, protocols, samples, history, commands, hashes, environment, configuration and logs.
"""

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.files import read_mapping
from bench.paths import META, RUNS
from bench.report.embedded import CaptionedFigure, raster
from bench.report.figures.image_grids import image_grid, labelled_samples, top_rows
from bench.report.history_plot import history_plot
from bench.report.html import environment, page_style
from bench.report.outputs import run_page
from bench.report.protocol_text import describe_protocol
from bench.report.read.names import control_label, format_bytes, format_seconds, format_value, metric_rank
from bench.report.read.protocol_labels import label_of, score_label
from bench.report.read.row import Row
from bench.report.read.scores import Scores
from bench.report.score_spread import spread_over_images
from bench.terminal import escaped

LOGS = ("train.log", "evaluate.log")
LOG_LINES, LOG_BYTES = 20, 16_384


def run_cards(scores: Scores, scale_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield (path below `scale_dir`, HTML) for the page of each run."""
    template, style = environment().get_template("run_card.html"), page_style()
    found: dict[str, list[Row]] = defaultdict(list)
    for row in scores.measured:
        found[row.run].append(row)
    for run in scores.runs:
        yield run_page(run.run), template.render(_context(run, found[run.run], scale_dir), style=style)


def _context(run: Row, scores: list[Row], scale_dir: Path) -> dict[str, Any]:
    folder = scale_dir / run.run_dir
    scores = sorted(scores, key=lambda row: metric_rank(row.metric))
    protocols = dict.fromkeys(row.protocol for row in scores if row.protocol)
    lines = [_score(row) for row in scores]
    plot = history_plot(folder / "history.csv")
    return {
        "run": run,
        "up": "../" * 3,
        "cost": _cost(run),
        "scores": lines,
        "has_medians": any(line["median"] for line in lines),
        "protocols": [
            {"label": label_of(protocol), "words": describe_protocol(protocol), "protocol": protocol}
            for protocol in protocols
        ],
        "samples": _samples(folder),
        "history": plot
        and CaptionedFigure("Columns of history.csv against the training step, with their ranges.", plot),
        "commands": _commands(run),
        "facts": _facts(run, folder),
        "configuration": _configuration(folder),
        "logs": [(name, text) for name in LOGS if (text := _log_end(_log_folder(scale_dir) / run.run / name))],
    }


def _cost(run: Row) -> str:
    extras = run.extras
    parts = [format_seconds(run.seconds), run.device, format_bytes(run.peak_memory_bytes)]
    parts += [f"{key} {extras[key]}" for key in ("steps", "perceptual", "precision") if extras.get(key)]
    return ", ".join(part for part in parts if part)


def _score(row: Row) -> dict[str, str]:
    notes = [row.reason, "several code versions" if row.mixed_code else ""]
    median = row.extras.get("median") if row.ok else None  # only scores that are a mean over images have a median
    return {
        "label": score_label(row.metric, row.protocol),
        "weights": control_label(row.weights) if row.is_control else row.weights,
        "value": format_value(row.metric, row.value) if row.ok else row.status.upper(),
        "median": "" if median is None else format_value(row.metric, median),
        "spread": spread_over_images(row),
        "note": ", ".join(note for note in notes if note),
    }


def _commands(run: Row) -> list[tuple[str, str]]:
    folder = f"results/{run.scale}/{run.run_dir}"
    given = shlex.quote(f"{folder}/run.json")
    commands = [("recorded", run.command)] if run.command else []
    commands += [("train", f"slim-bench train --run {given} --out {shlex.quote(folder)}")]
    return [*commands, ("evaluate", f"slim-bench evaluate --run {given} --out {shlex.quote(folder + '/scores')}")]


def _facts(run: Row, folder: Path) -> list[tuple[str, str]]:
    """Return (label, value) for the known hashes, commit, versions and machine of the run."""
    record = read_mapping(folder / META)
    versions = record.get("versions")
    facts: dict[str, Any] = {
        "folder": f"results/{run.scale}/{run.run_dir}",
        "data sha256": run.data_sha256,
        "weights sha256": run.model_sha256,
        "code sha256": run.code_sha256,
        "run sha256": run.run_sha256,
        "commit": f"{run.commit}{' with uncommitted changes' if run.dirty else ''}" if run.commit else "",
        "device": run.device,
    }
    for section in (record.get("machine"), versions):
        facts |= section if isinstance(section, dict) else {}
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _configuration(folder: Path) -> str:
    run = read_mapping(folder / "run.json")
    return json.dumps(run, indent=1, ensure_ascii=False) if run else ""


def _samples(folder: Path) -> CaptionedFigure | None:
    """Return the top rows of a run's sample grid, the images of a one-shot run, or None if neither exists."""
    grid = top_rows(folder / "samples" / "grid.png")
    if grid is not None:
        return CaptionedFigure("The first samples from the fixed latents.", raster(grid, "samples of the run", 75))
    row = labelled_samples(folder / "samples")
    image = image_grid([row]) if row else None
    caption = "Training image, bicubic upsampling, reconstruction and samples."
    return CaptionedFigure(caption, raster(image, "images of the run", 75)) if image else None


def _log_folder(scale_dir: Path) -> Path:
    return scale_dir.parent.parent / "logs" / scale_dir.name / RUNS


def _log_end(path: Path) -> str:
    """Return the last lines of a log, or empty text if the log is missing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(escaped(line) for line in text.splitlines()[-LOG_LINES:])
