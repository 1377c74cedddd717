"""Variables of the page template: sections, embedded figures, and the provenance of each score."""

import base64
import datetime
import io
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from bench.claims import target_of
from bench.data.audit_record import AuditRecord
from bench.experiments import Experiments
from bench.report.build import Report
from bench.report.claim_prices import claim_prices
from bench.report.compare.claims import NOT_TESTED, Answer
from bench.report.compare.statistics import MIN_UNITS, bootstrap
from bench.report.figures.image_grids import contact_grid
from bench.report.figures.style import inline_svg
from bench.report.html import page_style
from bench.report.outputs import caption_of
from bench.report.read.audits import UsedDataset
from bench.report.read.names import control_label, format_bytes, format_seconds, format_value, metric_of
from bench.report.read.row import TRAINING
from bench.report.read.scores import Row, Scores
from bench.report.tables.comparison import anchor
from bench.report.tables.significance import CLAIMS_NOTE, claim_table, shown_table
from bench.schema import Task

STATEMENTS = {
    "tiny": "Each network was trained for a few steps to test that the pipeline runs. The scores have no meaning.",
    "demo": "Small networks were trained for a few minutes each. This scale shows that they learn, and does not test "
    "the paper's claims.",
    "small": "Full-size networks were trained on the demo data, in about one hour on one GPU. This scale does not test "
    "the paper's claims.",
    "paper": "The datasets, networks and schedules are those of the paper. The decision criteria were pre-registered.",
}
MAX_COMMITS = 3
IMAGE_GRIDS = {
    "fewshot": ("samples_fewshot", "attention_fewshot", "progress_fewshot", "neighbours"),
    "oneshot": ("samples_oneshot", "attention_oneshot"),
}
EXTRA_FIGURES = {"fewshot": ("fd_curve",), "classification": ("confusion", "calibration")}


@dataclass(frozen=True)
class CaptionedFigure:
    """A plot or an image grid with its caption, as HTML."""

    caption: str
    body: Markup


def page_context(report: Report, out: Path, config: Path) -> dict[str, Any]:
    """Return all variables of templates/page.html."""
    present = set(report.scores.distinct("task"))
    tasks = [task for task in report.settings.tasks if task in present]
    prices = claim_prices(report.settings, config.parent)
    return {
        "scale": report.scale,
        "statement": STATEMENTS.get(report.scale, f"Scale {report.scale}."),
        "is_verdict_scale": report.scale == report.settings.verdict_scale,
        "not_tested": NOT_TESTED,
        "claims_note": CLAIMS_NOTE,
        "facts": _facts(report.scores.runs),
        "counts": Counter(row.status for row in report.scores.runs),
        "unfinished": _unfinished_scores(report.scores),
        "warnings": _warnings(report.scores),
        "tables": report.tables,
        "claims": [_claim(report, answer, prices) for answer in report.answers],
        "rules": report.settings,
        "tasks": [_task(report, task, out, config) for task in tasks],
        "complexity": _figures(report, out, ["complexity"]),
        "ablations": _figures(report, out, ["ablations"]),
        "groups": _run_groups(report.scores),
        "datasets": [_dataset(used) for used in report.datasets],
        "style": page_style(),
    }


def _warnings(scores: Scores) -> list[str]:
    """Return warnings about scores that share a protocol but not the version of the data or of the code."""
    found = []
    for dataset in scores.distinct("dataset"):
        hashes = {row.data_sha256[:8] for row in scores.where(dataset=dataset, status="ok") if row.data_sha256}
        if len(hashes) > 1:
            found.append(f"{dataset}: runs used different versions of the dataset ({', '.join(sorted(hashes))})")
    mixed = dict.fromkeys(row.experiment for row in scores if row.mixed_code)
    found += [f"{experiment}: runs were made by different versions of the code" for experiment in mixed]
    return found


def _claim(report: Report, answer: Answer, prices: dict[str, list[str]]) -> dict[str, Any]:
    is_paper = report.scale == report.settings.verdict_scale
    return {
        "claim": answer.claim,
        "target": target_of(answer.claim),
        "prices": prices.get(answer.claim.id, []),
        "verdict": answer.verdict,
        "kind": answer.verdict.replace(" ", "-"),
        "reason": answer.reason if is_paper else "",
        "needed": claim_table(answer),
        "shown": None if is_paper else shown_table(answer.claim, report.scores, report.settings),
    }


def _facts(runs: Scores) -> list[tuple[str, str]]:
    """Return (label, value) pairs for date, commit, device, torch version and training time."""
    commits = list(
        dict.fromkeys(
            row.commit[:10] + (" with uncommitted changes" if row.dirty else "") for row in runs if row.commit
        )
    )
    if len(commits) > MAX_COMMITS:
        commits[MAX_COMMITS:] = [f"{len(commits) - MAX_COMMITS} more"]
    seconds = sum(row.seconds or 0 for row in runs)
    now = datetime.datetime.now(datetime.UTC)
    return [
        ("Created", f"{now.day} {now:%B %Y, %H:%M} UTC"),
        ("Commit", ", ".join(commits) or "–"),
        ("Device", ", ".join(name for name in runs.distinct("device") if name) or "–"),
        ("PyTorch", ", ".join(name for name in runs.distinct("torch") if name) or "–"),
        ("Training time", format_seconds(seconds) if seconds else "–"),
    ]


def _unfinished_scores(scores: Scores) -> list[tuple[str, str, str, str]]:
    """Return (run, status, scores, reason) of all failed and missing scores, with each reason once per run."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in scores:
        if not row.ok:
            what = "all scores" if row.metric == TRAINING else metric_of(row.metric).label
            found.setdefault((row.run, row.status.upper(), row.reason), []).append(what)
    return [
        (run, status, "all scores" if "all scores" in what else ", ".join(what), reason)
        for (run, status, reason), what in found.items()
    ]


def _task(report: Report, task: Task, out: Path, config: Path) -> dict[str, Any]:
    names = report.scores.where(task=task).distinct("experiment")
    described = Experiments.read(config).written if (config / "experiments.yaml").exists() else {}
    return {
        "id": task,
        "title": report.settings.tasks[task].title,
        "experiments": [(name, entry.description) for name, entry in described.items() if name in names],
        "tables": report.tables[task],
        "image_grids": _figures(report, out, IMAGE_GRIDS.get(task, ())),
        "figures": _figures(report, out, [f"scores_{task}", f"curves_{task}", *EXTRA_FIGURES.get(task, ())]),
    }


def _figures(report: Report, out: Path, names: Any) -> list[CaptionedFigure]:
    found = []
    for name in names:
        stem = f"figures/{name}"
        if stem in report.stems:
            caption = caption_of(stem)
            vector = out / f"{stem}.svg"
            body = _vector(vector, name, caption) if vector.exists() else _raster(out / f"{stem}.png", caption)
            found.append(CaptionedFigure(caption, body))
    return found


def _vector(path: Path, name: str, caption: str) -> Markup:
    svg, width = inline_svg(path.read_text(encoding="utf-8"), name)
    opening = f'<svg role="img" aria-label="{Markup.escape(caption)}" style="--width: {width:.0f}px"'
    return Markup(opening + svg.removeprefix("<svg"))


def _raster(path: Path, caption: str) -> Markup:
    data = base64.b64encode(path.read_bytes()).decode()
    with Image.open(path) as image:
        size = image.width, image.height
    tag = '<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}" style="--width: {}px">'
    return Markup(tag).format(data, caption, *size, size[0])


def _dataset(used: UsedDataset) -> dict[str, Any]:
    """Return title, facts, results of the audit and the image grid of a dataset."""
    record = used.record
    grid = None if record is None or used.contact is None else contact_grid(used.contact, record.contact)
    checks = [] if record is None else [(kind, check) for kind, check in record.checks.items() if check.count]
    return {
        "name": used.name,
        "title": used.title,
        "facts": used.facts,
        "record": record,
        "counts": "" if record is None else _audit_sentence(record, [kind for kind, _ in checks]),
        "checks": checks,
        "grid": None if grid is None else CaptionedFigure(f"Images of {used.name}.", _photographs(grid, used.name)),
    }


def _audit_sentence(record: AuditRecord, kinds: list[str]) -> str:
    total = sum(record.images.values())
    read = "1 image was read." if total == 1 else f"{total:,} images were read."
    return f"{read} Found: {', '.join(kinds)}." if kinds else f"{read} No problems and no duplicates were found."


def _photographs(image: Image.Image, name: str) -> Markup:
    """Return an image grid of photographs as HTML. WebP needs a quarter of the bytes of PNG."""
    content = io.BytesIO()
    image.save(content, "WEBP", quality=80, method=4)
    data = base64.b64encode(content.getvalue()).decode()
    tag = '<img src="data:image/webp;base64,{}" alt="images of {}" width="{}" height="{}" style="--width: {}px">'
    return Markup(tag).format(data, name, *image.size, image.width)


def _run_groups(scores: Scores) -> list[dict[str, Any]]:
    """Return the runs of each experiment on each dataset, with folder, commands, hashes and scores."""
    groups = []
    for experiment, dataset in dict.fromkeys((row.experiment, row.dataset) for row in scores):
        group_rows = scores.of(experiment, dataset)
        groups.append(
            {
                "id": anchor(experiment, dataset),
                "title": f"{experiment} on {dataset}",
                "runs": [_run(row, group_rows.measured.where(run=row.run)) for row in group_rows.runs],
                "states": Counter(row.status for row in group_rows.runs),
            }
        )
    return groups


def _run(training: Row, scores: Scores) -> dict[str, Any]:
    folder = f"results/{training.scale}/{training.run_dir}"
    given = shlex.quote(f"{folder}/run.json")
    facts = {
        "folder": folder,
        "train": f"slim-bench train --run {given} --out {shlex.quote(folder)}",
        "evaluate": f"slim-bench evaluate --run {given} --out {shlex.quote(folder + '/scores')}",
        "data sha256": training.data_sha256,
        "weights sha256": training.model_sha256,
        "code sha256": training.code_sha256,
        "run sha256": training.run_sha256,
    }
    cost = [format_seconds(training.seconds), training.device, format_bytes(training.peak_memory_bytes)]
    extras = training.extras
    cost += [f"{key} {extras[key]}" for key in ("steps", "perceptual", "precision") if extras.get(key)]
    return {
        "title": f"seed {training.seed}",
        "status": training.status,
        "reason": training.reason,
        "cost": ", ".join(part for part in cost if part),
        "facts": {key: value for key, value in facts.items() if value},
        "scores": [_score(row) for row in scores],
    }


def _score(row: Row) -> dict[str, str]:
    notes = [row.reason, "several code versions" if row.mixed_code else ""]
    median = row.extras.get("median") if row.ok else None  # only scores that are a mean over images have a median
    return {
        "metric": metric_of(row.metric).label,
        "weights": control_label(row.weights) if row.is_control else row.weights,
        "value": format_value(row.metric, row.value) if row.ok else row.status.upper(),
        "median": "" if median is None else format_value(row.metric, median),
        "spread": _spread(row),
        "protocol": row.protocol,
        "note": ", ".join(note for note in notes if note),
    }


def _spread(row: Row) -> str:
    """Return the uncertainty of one score over images: confidence interval, else standard error, else empty text."""
    values = row.extras.get("per_image", [])
    low, high, n = row.interval_low, row.interval_high, row.n or 0
    if low is None and len(values) >= MIN_UNITS:
        over = bootstrap(values)
        low, high, n = over.low, over.high, over.n
    if low is not None and high is not None:
        return f"{format_value(row.metric, low)} … {format_value(row.metric, high)} (n = {n:.0f})"
    if row.standard_error is not None:
        return f"standard error {format_value(row.metric, row.standard_error)}"
    return ""
