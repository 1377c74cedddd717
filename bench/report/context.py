"""What the template shows, as plain values: sections, embedded figures, and the way from each number to its run."""

import base64
import datetime
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup

from bench.report.build import Report
from bench.report.claims import NOT_TESTED
from bench.report.frame import details_of, training_rows
from bench.report.names import (
    METRICS,
    control_label,
    format_bytes,
    format_p,
    format_seconds,
    format_value,
    metric_of,
)
from bench.report.style import inline_svg
from bench.report.tables import anchor

STATEMENTS = {
    "tiny": "A few steps of everything, to show that the pipeline runs. No number here means anything.",
    "demo": (
        "Small networks, trained for a few minutes on two processor cores. Learning is visible; "
        "what the paper claims is not tested at this scale."
    ),
    "small": (
        "Full-size networks on the demo data, about an hour on one GPU. "
        "What the paper claims is not tested at this scale."
    ),
    "paper": "The paper's data sets, networks and schedules. The verdicts below follow rules written before the first run.",
}


@dataclass(frozen=True)
class Exhibit:
    """A figure or picture on the page."""

    stem: str
    caption: str
    body: Markup
    wide: bool = False


CAPTIONS = {
    "scores": "A dot per seed, a bar at their mean; a line for the 95 % interval only from three seeds. Dashed: controls and untrained networks.",
    "curves": "Training, as logged; a thin line per seed.",
    "complexity": "Score against cost, seeds averaged.",
    "ablations": "One factor varied at a time; blue is the base. The line joins the means.",
    "fd_curve": "The distance falls with the number of generated images: numbers of different n are not comparable.",
    "calibration": "Accuracy against confidence; a calibrated network lies on the dashed line.",
    "samples_fewshot": "The same latents for every network, not picked, beside real images.",
    "strip_fewshot": "The same latents while training goes on, first seed.",
    "neighbours": "Samples above their nearest training images in feature space: copies would show here.",
    "pictures_oneshot": "The training image, what each network makes of its fixed noise (reconstruction), and new samples, not picked.",
}


def page_context(report: Report, out: Path, config: Path) -> dict[str, Any]:
    """Every variable of templates/page.html."""
    frame = report.frame
    runs = training_rows(frame)
    return {
        "scale": report.scale,
        "statement": STATEMENTS.get(report.scale, f"Scale {report.scale}."),
        "is_verdict_scale": report.scale == report.settings.verdict_scale,
        "not_tested": NOT_TESTED,
        "facts": _facts(runs),
        "counts": runs["status"].value_counts().to_dict(),
        "troubles": _troubles(frame),
        "tables": report.tables,
        "claims": [_claim(answer) for answer in report.answers],
        "rules": report.settings,
        "tasks": [_task(report, task, out, config) for task in report.settings.tasks if task in set(frame["task"])],
        "complexity": _exhibits(report, out, ["figures/complexity"]),
        "ablations": _exhibits(report, out, ["figures/ablations"]),
        "groups": _groups(frame),
        "style": Markup((Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")),
    }


def _facts(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Date, commit, device, cost: one line each."""

    def distinct(column: str, form: Any = str) -> str:
        return ", ".join(dict.fromkeys(form(value) for value in runs[column] if value)) or "–"

    commits = dict.fromkeys(
        c[:10] + (" + local changes" if d == "True" else "")
        for c, d in zip(runs["commit"], runs["dirty"], strict=True)
        if c
    )
    seconds = runs["seconds"].sum()
    today = datetime.datetime.now(datetime.UTC).strftime("%-d %B %Y, %H:%M UTC")
    facts = [("Made", today), ("Commit", ", ".join(commits) or "–"), ("Device", distinct("device"))]
    return [*facts, ("torch", distinct("torch")), ("Training time, all runs", format_seconds(seconds) or "–")]


def _troubles(frame: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """(run, status, what, reason) of everything failed or missing, runs before single scores, each reason once per run."""
    bad = frame[frame["status"] != "ok"].drop_duplicates(["run", "status", "reason"])
    return [
        (row["run"], row["status"].upper(), metric_of(row["metric"]).label, row["reason"])
        for row in bad.to_dict("records")
    ]


def _claim(answer: Any) -> dict[str, Any]:
    lines = []
    for finding in answer.findings:
        c, paired = finding.comparison, finding.paired
        share = c.measure != "difference"

        def form(value: float | None, c: Any = c, share: bool = share) -> str:
            if value is None:
                return "–"
            return f"{100 * value:+.1f} %".replace("-", "−") if share else format_value(c.metric, value)

        means = [
            format_value(c.metric, m) if m is not None else "not run" for m in (finding.slim_mean, finding.rival_mean)
        ]
        interval = f"{form(paired.low)} … {form(paired.high)}" if paired.low is not None else "–"
        lines.append(
            {
                "what": f"{metric_of(c.metric).label}: {c.slim} against {c.rival}",
                "control": c.role == "control",
                "slim": means[0],
                "rival": means[1],
                "improvement": form(paired.mean),
                "interval": interval,
                "p": format_p(finding.p_holm) or "–",
                "needs": f"more than {form(c.margin)} on {len(c.sets)} set{'s' if len(c.sets) > 1 else ''}, protocol {c.protocol}",
                "found": f"{finding.sets_found} of {len(c.sets)} sets, {finding.seeds} seeds",
            }
        )
    kind = answer.verdict.replace(" ", "-")
    return {"claim": answer.claim, "verdict": answer.verdict, "kind": kind, "reason": answer.reason, "lines": lines}


def _task(report: Report, task: str, out: Path, config: Path) -> dict[str, Any]:
    settings = report.settings.tasks[task]
    pictures = {"fewshot": ["samples_fewshot", "strip_fewshot", "neighbours"], "oneshot": ["pictures_oneshot"]}.get(
        task, []
    )
    extra = {"fewshot": ["fd_curve"], "classification": ["calibration"]}.get(task, [])
    stems = [f"scores_{task}", f"curves_{task}", *extra]
    names = list(dict.fromkeys(report.frame.loc[report.frame["task"] == task, "experiment"]))
    return {
        "id": task,
        "title": settings.title,
        "methods": [(name, text) for name, text in _descriptions(config).items() if name in names],
        "tables": report.tables.get(task, []),
        "pictures": _exhibits(report, out, [f"figures/{stem}" for stem in pictures]),
        "figures": _exhibits(report, out, [f"figures/{stem}" for stem in stems]),
    }


def _descriptions(config: Path) -> dict[str, str]:
    """What each experiment is, in the words of config/experiments.yaml."""
    path = config / "experiments.yaml"
    if not path.exists():
        return {}
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {name: str(entry.get("description", "")) for name, entry in entries.items()}


def _exhibits(report: Report, out: Path, stems: list[str]) -> list[Exhibit]:
    found = []
    for stem in stems:
        if stem not in report.drawn:
            continue
        name = stem.removeprefix("figures/")
        caption = CAPTIONS.get(name) or CAPTIONS[name.split("_")[0]]
        vector = out / f"{stem}.svg"
        found.append(
            Exhibit(
                stem,
                caption,
                _vector(vector, name, caption) if vector.exists() else _raster(out / f"{stem}.png", caption),
            )
        )
    return found


def _vector(path: Path, name: str, caption: str) -> Markup:
    svg = inline_svg(path.read_text(encoding="utf-8"), name)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(caption)}"', 1))


def _raster(path: Path, caption: str) -> Markup:
    data = base64.b64encode(path.read_bytes()).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, caption)


def _groups(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Per experiment and data set: its runs with folder, commands, hashes and every single score."""
    groups = []
    for (experiment, dataset), rows in frame.groupby(["experiment", "dataset"], sort=False):
        runs = [_run(rows[rows["run"] == row["run"]], row) for row in training_rows(rows).to_dict("records")]
        states = pd.Series([run["status"] for run in runs]).value_counts().to_dict()
        groups.append(
            {"id": anchor(experiment, dataset), "title": f"{experiment} on {dataset}", "runs": runs, "states": states}
        )
    return groups


def _run(rows: pd.DataFrame, training: dict[str, Any]) -> dict[str, Any]:
    folder = f"results/{training['scale']}/{training['run_dir']}"
    given = shlex.quote(f"{folder}/run.json")
    scores = [row for row in rows.to_dict("records") if row["metric"] in METRICS or row["value"] == row["value"]]
    facts = {
        "folder": folder,
        "train": f"slim-bench train --run {given} --out {shlex.quote(folder)}",
        "evaluate": f"slim-bench evaluate --run {given} --out {shlex.quote(folder + '/scores')}",
        "data": training["data_sha256"],
        "weights": training["model_sha256"],
        "code": training["code_sha256"],
        "run.json": training["run_sha256"],
    }
    cost = [format_seconds(training["seconds"]), training["device"], format_bytes(training["peak_memory_bytes"])]
    details = details_of(training)
    extras = [f"{key} {details[key]}" for key in ("steps", "perceptual", "precision", "protocol") if details.get(key)]
    return {
        "title": f"seed {training['seed']}",
        "status": training["status"],
        "reason": training["reason"],
        "cost": ", ".join(part for part in (*cost, *extras) if part),
        "facts": {key: value for key, value in facts.items() if value},
        "scores": [_score(row) for row in scores],
    }


def _score(row: dict[str, Any]) -> dict[str, str]:
    value = format_value(row["metric"], row["value"]) if row["status"] == "ok" else row["status"].upper()
    weights = row["selection"] if not row["selection"].startswith("control") else control_label(row["selection"])
    return {
        "metric": metric_of(row["metric"]).label,
        "weights": weights,
        "value": value,
        "protocol": row["protocol"],
        "reason": row["reason"],
        "mixed": "mixed code" if row["mixed_code"] == "True" else "",
    }
