"""Variables of the page template: claims, sections and embedded figures."""

import datetime
from collections import Counter
from pathlib import Path
from typing import Any

from bench.claims import target_of
from bench.data.audit_record import AuditRecord
from bench.experiments import Experiments
from bench.provenance import versions
from bench.report.build import Report
from bench.report.claim_cards import claim_card
from bench.report.claim_costs import claim_costs
from bench.report.compare.claims import Decision
from bench.report.embedded import CaptionedFigure, raster, raster_file, vector
from bench.report.figures.image_grids import labelled_thumbnails
from bench.report.html import page_script, page_style
from bench.report.image_pairs import image_pairs
from bench.report.outputs import FIGURES, caption_of, figure_links
from bench.report.read.audits import UsedDataset
from bench.report.read.names import format_seconds
from bench.report.read.protocol_labels import score_label
from bench.report.read.row import TRAINING
from bench.report.read.scores import Scores
from bench.report.tables.comparison import anchor
from bench.report.tables.significance import CLAIMS_NOTE, claim_table, descriptive_table
from bench.schema import Task

STATEMENTS = {
    "tiny": "Each network was trained for a few steps to test that the pipeline runs. The scores have no meaning.",
    "demo": "Small networks were trained for a few minutes each. This scale shows that they learn, and does not test "
    "the paper's claims.",
    "small": "Full-size networks were trained on the demo data, in about one hour on one GPU. This scale does not test "
    "the paper's claims.",
    "paper": "Datasets, networks and schedules are taken from the paper. The decision criteria were pre-registered.",
}
MAX_COMMITS = 3
IMAGE_GRIDS = {
    "fewshot": ("samples_fewshot", "attention_fewshot", "progress_fewshot", "neighbours"),
    "oneshot": ("samples_oneshot", "attention_oneshot"),
}
EXTRA_FIGURES = {"fewshot": ("fd_curve",), "classification": ("confusion", "calibration")}


def page_context(report: Report, out: Path, config: Path) -> dict[str, Any]:
    """Return all variables of templates/page.html."""
    present = set(report.scores.distinct("task"))
    tasks = [task for task in report.settings.tasks if task in present]
    script, source = page_script()
    costs = claim_costs(report.settings, config.parent)
    return {
        "scale": report.scale,
        "statement": STATEMENTS.get(report.scale, f"Scale {report.scale}."),
        "is_verdict_scale": report.scale == report.settings.verdict_scale,
        "claims_note": CLAIMS_NOTE,
        "byline": _byline(report.scores.runs),
        "facts": _facts(report.scores.runs),
        "sections": _sections(report, tasks),
        "cards": [claim_card(a, report.scores, report.settings, costs.get(a.claim.id, [])) for a in report.decisions],
        "unfinished": _unfinished_scores(report.scores),
        "warnings": _warnings(report.scores),
        "tables": report.tables | {"runs": [report.tables["runs"][0].without_columns("weights", "data", "code")]},
        "run_ids": _run_ids(report.scores.runs),
        "claims": [_claim(report, decision, costs) for decision in report.decisions],
        "rules": report.settings,
        "tasks": [_task(report, task, out, config) for task in tasks],
        "complexity": _figures(report, out, ["complexity"]),
        "ablations": _figures(report, out, ["ablations"]),
        "datasets": [_dataset(used) for used in report.datasets],
        "style": page_style(),
        "script": script,
        "script_source": source,
    }


def _sections(report: Report, tasks: list[Task]) -> list[tuple[str, str]]:
    """Return (id, title) of each section of the page."""
    listed = [("claims", "Claims"), ("summary", "Summary")]
    listed += [(task, report.settings.tasks[task].title) for task in tasks]
    listed += [("ablations", "Ablations")] if report.tables["ablations"] else []
    listed += [("criteria", "Criteria and tests"), ("published", "Published values")]
    listed += [("data", "Data")] if report.datasets else []
    return [*listed, ("cost", "Cost"), ("runs", "Runs"), ("about", "About this page")]


def _run_ids(runs: Scores) -> list[str]:
    """Return an id for the first run of each experiment and dataset, and empty text for the other runs."""
    seen: set[str] = set()
    ids = []
    for row in runs:
        name = anchor(row.experiment, row.dataset)
        ids.append("" if name in seen else name)
        seen.add(name)
    return ids


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


def _claim(report: Report, decision: Decision, costs: dict[str, list[str]]) -> dict[str, Any]:
    is_paper = report.scale == report.settings.verdict_scale
    return {
        "claim": decision.claim,
        "target": target_of(decision.claim),
        "costs": costs.get(decision.claim.id, []),
        "verdict": decision.verdict,
        "kind": decision.verdict.replace(" ", "-"),
        "reason": decision.reason if is_paper else "",
        "needed": claim_table(decision),
        "shown": None if is_paper else descriptive_table(decision.claim, report.scores, report.settings),
    }


def _facts(runs: Scores) -> list[tuple[str, str]]:
    """Return (label, value) pairs for date, version, commit, device, torch version and training time."""
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
        ("slim-bench", versions()["slim-bench"] or "–"),
        ("Commit", ", ".join(commits) or "–"),
        ("Device", ", ".join(name for name in runs.distinct("device") if name) or "–"),
        ("PyTorch", ", ".join(name for name in runs.distinct("torch") if name) or "–"),
        ("Training time", format_seconds(seconds) if seconds else "–"),
    ]


def _byline(runs: Scores) -> str:
    """Return a line with the number of runs per status, the version of slim-bench and the date."""
    counts = Counter(row.status for row in runs)
    states = [f"{counts['ok']} runs finished", *(f"{counts[s]} {s}" for s in ("failed", "missing") if counts[s])]
    now = datetime.datetime.now(datetime.UTC)
    return f"{', '.join(states)}; slim-bench {versions()['slim-bench'] or ''}, {now.day} {now:%B %Y}"


def _unfinished_scores(scores: Scores) -> list[tuple[str, str, str, str]]:
    """Return (run, status, scores, reason) of all failed and missing scores.

    Scores of a run with the same status and reason share one entry.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in scores:
        if not row.ok:
            what = "all scores" if row.metric == TRAINING else score_label(row.metric, row.protocol)
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
        "pairs": image_pairs(report.scores, report.settings, out, task),
        "image_grids": _figures(report, out, IMAGE_GRIDS.get(task, ())),
        "figures": _figures(report, out, [f"scores_{task}", f"curves_{task}", *EXTRA_FIGURES.get(task, ())]),
    }


def _figures(report: Report, out: Path, names: Any) -> list[CaptionedFigure]:
    found = []
    for name in names:
        stem = f"figures/{name}"
        if stem in report.stems:
            caption = caption_of(stem)
            file = out / f"{stem}.svg"
            body = vector(file, name, caption) if stem in FIGURES else raster_file(out / f"{stem}.png", caption)
            found.append(CaptionedFigure(caption, body, figure_links(stem)))
    return found


def _dataset(used: UsedDataset) -> dict[str, Any]:
    """Return the title, facts, audit results and image grid of a dataset."""
    record = used.record
    grid = None if record is None or used.thumbnails is None else labelled_thumbnails(used.thumbnails, record.contact)
    checks = [] if record is None else [(kind, check) for kind, check in record.checks.items() if check.count]
    return {
        "name": used.name,
        "title": used.title,
        "facts": used.facts,
        "record": record,
        "counts": "" if record is None else _audit_sentence(record, [kind for kind, _ in checks]),
        "checks": checks,
        "grid": None
        if grid is None
        else CaptionedFigure(f"Images of {used.name}.", raster(grid, f"images of {used.name}")),
    }


def _audit_sentence(record: AuditRecord, kinds: list[str]) -> str:
    total = sum(record.images.values())
    read = "1 image was read." if total == 1 else f"{total:,} images were read."
    return f"{read} Found: {', '.join(kinds)}." if kinds else f"{read} No problems and no duplicates were found."
