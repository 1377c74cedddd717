"""Collect whatever exists under results/{scale}/runs into one tidy table, a row per run x metric x selection.

`scores.csv` carries every provenance field; `metrics.json` is the short nested form for `dvc metrics diff`. A run that
has not finished, and a metric of its run.json without a score, become rows with status missing, so that no gap is ever
silent. A score made beside another export than the one that stands there now is stale, and counts as missing.
"""

import csv
import io
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import sha256_file, write_json, write_text
from bench.made_from import COLLECTED, collected_from
from bench.ownership import Test, head_of, is_cut_off, read_mapping, refuse_foreign
from bench.report.compare.statistics import summarise
from bench.run import training_hash

TRAINING = "train_seconds"
"""The metric of the row that every run has, finished or not: its value is the training time."""

ORDER = {"fewshot": 0, "oneshot": 1, "classification": 2}
IDENTITY = {"task", "experiment", "dataset", "seed"}
COLUMNS = (
    *("scale", "task", "experiment", "dataset", "seed", "model", "metric", "selection", "value", "unit", "direction"),
    *("protocol", "n", "standard_error", "interval_low", "interval_high", "status", "reason", "run", "run_dir"),
    *("run_sha256", "data_sha256", "model_sha256", "seconds", "device", "peak_memory_bytes", "precision", "compile"),
    *("python", "torch", "cuda", "driver", "commit", "dirty", "code_sha256", "mixed_code", "command", "details"),
)


def _is_table(path: Path) -> bool:
    """Of any version, since the first columns stay, and also where it was cut off."""
    start = (",".join(COLUMNS[:5]) + ",").encode()
    return start.startswith(head_of(path, len(start)))


def _is_means(path: Path) -> bool:
    means = read_mapping(path)
    cut = any(is_cut_off(path, f'"{task}": ') for task in ORDER)
    return head_of(path, 8).strip() == b"{}" or (bool(means) and means.keys() <= ORDER.keys()) or cut


WRITTEN: dict[str, Test] = {
    "scores.csv": _is_table,
    "metrics.json": _is_means,
    COLLECTED: lambda path: "made_from" in read_mapping(path),
}


def collect(scale_dir: Path, allow_mixed_code: bool = False) -> None:
    """Write `scale_dir`/scores.csv and metrics.json."""
    scale_dir = Path(scale_dir)
    for name, ours in WRITTEN.items():
        refuse_foreign(scale_dir / name, ours, "move it away")
    made_from = collected_from(scale_dir, allow_mixed_code)
    rows = collect_rows(scale_dir)
    _mark_mixed_code(rows, refuse=scale_dir.name == "paper" and not allow_mixed_code)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(row.get(key)) for key in COLUMNS} for row in rows)
    write_text(scale_dir / "scores.csv", out.getvalue())
    write_json(scale_dir / "metrics.json", nested_means(rows))
    write_json(scale_dir / COLLECTED, {"made_from": made_from, "sha256": sha256_file(scale_dir / "scores.csv")})


def collect_rows(scale_dir: Path) -> list[dict[str, Any]]:
    """Rows of every run folder with a run.json, in the order task, data set, experiment, seed."""
    runs: list[tuple[Path, dict[str, Any]]] = []
    for path in sorted((scale_dir / "runs").glob("*/*/*/run.json")):
        run = _read(path)
        if run is None:
            print(f"{path}: not JSON: not counted", file=sys.stderr)
        elif not run.keys() >= IDENTITY or run_folder(scale_dir, run) != path.parent:
            print(f"{path}: describes another run than its folder's name: not counted", file=sys.stderr)
        else:
            runs.append((path.parent, run))
    runs.sort(
        key=lambda item: (ORDER.get(item[1]["task"], 9), item[1]["dataset"], item[1]["experiment"], item[1]["seed"])
    )
    return [row for folder, run in runs for row in _rows_of_run(scale_dir, folder, run)]


def run_folder(scale_dir: Path, run: dict[str, Any]) -> Path:
    return scale_dir / "runs" / run["experiment"] / run["dataset"] / f"seed{run['seed']}"


def _rows_of_run(scale_dir: Path, folder: Path, run: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for the training, one per score, one per metric of run.json without a score."""
    base = {key: run.get(key) for key in ("scale", "task", "experiment", "dataset", "seed")}
    base |= {"model": run.get("model", {}).get("name"), "run_dir": folder.relative_to(scale_dir).as_posix()}
    base |= {"run": f"{run['experiment']}/{run['dataset']}/seed{run['seed']}"}
    model = _read(folder / "model.json")
    training = base | _training_row(folder, run, model)
    rows = [training]
    found = map(_read, sorted((folder / "scores").glob("*.json")))
    scores = [score for score in found if score and {"metric", "status"} <= score.keys()]
    for score in scores:
        rows.append(base | _score_row(score, _is_stale(score, run) or _is_of_another_export(score, model)))
    present = {score["metric"] for score in scores}
    for metric in run.get("evaluation", {}).get("metrics", ()):
        if metric not in present:
            reason = training["reason"] or "not evaluated yet"
            status = "failed" if training["status"] == "failed" else "missing"
            rows.append(base | {"metric": metric, "selection": "last", "status": status, "reason": reason})
    return rows


def _training_row(folder: Path, run: dict[str, Any], model: dict[str, Any] | None) -> dict[str, Any]:
    row = {"metric": TRAINING, "selection": "last", "unit": "s", "direction": "none", "protocol": "training"}
    details: dict[str, Any] = {"args": run.get("model", {}).get("args", {}), "data": run.get("data", {}).get("path")}
    if model is None:
        begun = (folder / "history.csv").exists()
        return row | {"status": "missing", "reason": "training" if begun else "not started", "details": details}
    training = model.get("training") or {}
    row |= {key: model.get(key) for key in ("status", "reason", "commit", "dirty", "code_sha256", "command")}
    row |= {key: model.get(key) for key in ("run_sha256", "data_sha256", "model_sha256")}
    row |= {key: training.get(key) for key in ("device", "precision", "compile", "peak_memory_bytes", "seconds")}
    row |= _versions(model) | {"value": training.get("seconds"), "details": details | training}
    if _is_stale(model, run):
        row |= {"status": "missing", "reason": "stale: trained from another run.json"}
    return row


def _is_stale(record: dict[str, Any], run: dict[str, Any]) -> bool:
    return bool(record.get("run_sha256")) and record["run_sha256"] != training_hash(run)


def _is_of_another_export(score: dict[str, Any], model: dict[str, Any] | None) -> bool:
    """A score, of whatever weights, made when another export stood here."""
    hashes = ((model or {}).get("model_sha256"), score.get("export_sha256"))
    return None not in hashes and hashes[0] != hashes[1]


def _score_row(score: dict[str, Any], stale: bool) -> dict[str, Any]:
    row = {key: score.get(key) for key in COLUMNS if key in score and key not in ("run", "seed")}
    interval = score.get("interval") or (None, None)
    row |= {"interval_low": interval[0], "interval_high": interval[1]} | _versions(score)
    if isinstance(row.get("value"), float) and not math.isfinite(row["value"]):
        row |= {"status": "failed", "value": None, "reason": "the score is not a finite number"}
    if stale:
        row |= {"status": "missing", "value": None, "reason": "stale: score of another export"}
    return row


def _versions(record: dict[str, Any]) -> dict[str, Any]:
    versions = record.get("versions") or {}
    return {key: versions.get(key) for key in ("python", "torch", "cuda", "driver")}


def _mark_mixed_code(rows: list[dict[str, Any]], refuse: bool) -> None:
    """Rows of one experiment and metric that were made by different code are marked, in the paper scale refused."""
    digests: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.get("code_sha256"):
            digests[row["task"], row["experiment"], row["metric"]].add(row["code_sha256"])
    for row in rows:
        row["mixed_code"] = len(digests.get((row["task"], row["experiment"], row["metric"]), ())) > 1
    mixed = sorted({f"{row['experiment']} ({row['metric']})" for row in rows if row["mixed_code"]})
    if refuse and mixed:
        names = ", ".join(mixed[:5]) + (" ..." if len(mixed) > 5 else "")
        raise InputError(
            f"rows made by different code cannot share the paper's tables: {names}; run them again, or allow mixed code"
        )


def nested_means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """{task: {dataset: {experiment: {"metric (protocol)": mean over seeds}}}} of last exports, timings left out."""
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        finished = row["status"] == "ok" and row["selection"] == "last" and row.get("value") is not None
        if finished and row["metric"] not in (TRAINING, "latency"):
            key = f"{row['metric']} ({row['protocol']})"
            values[row["task"], row["dataset"], row["experiment"], key].append(float(row["value"]))
    tree: dict[str, Any] = {}
    for (task, dataset, experiment, key), seeds in sorted(values.items()):
        branch = tree.setdefault(task, {}).setdefault(dataset, {}).setdefault(experiment, {})
        branch[key] = float(f"{summarise(seeds).mean:.8g}")
    return tree


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none; a file cut off by a full disk is as good as none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, float):
        return repr(value)
    return "" if value is None else value
