"""Collect whatever exists under results/{scale}/runs into one tidy table, a row per run x metric x weights.

`scores.csv` carries every provenance field; `metrics.json` is the short nested form for `dvc metrics diff`. A run that
has not finished, and a metric of its run.json without a score, become rows with status missing, so that no gap is ever
silent. A score file that is damaged, or was made from another export than the present one, counts as missing too.
"""

import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import read_json, read_mapping, sha256_file, write_json, write_text
from bench.made_from import COLLECTED, collected_from
from bench.metrics.catalogue import METRICS
from bench.ownership import Test, head_of, is_cut_off, refuse_foreign
from bench.paths import RUNS, run_name
from bench.report.compare.statistics import summarise
from bench.report.read.row import COLUMNS, TRAINING, Row
from bench.run import training_hash
from bench.score import read_score

ORDER = {"fewshot": 0, "oneshot": 1, "classification": 2}
IDENTITY = {"task", "experiment", "dataset", "seed"}


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
    rows = _mark_mixed_code(collect_rows(scale_dir), refuse=scale_dir.name == "paper" and not allow_mixed_code)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.cells() for row in rows)
    write_text(scale_dir / "scores.csv", out.getvalue())
    write_json(scale_dir / "metrics.json", nested_means(rows))
    write_json(scale_dir / COLLECTED, {"made_from": made_from, "sha256": sha256_file(scale_dir / "scores.csv")})


def collect_rows(scale_dir: Path) -> list[Row]:
    """Rows of every run folder with a run.json, in the order task, dataset, experiment, seed."""
    runs: list[tuple[Path, dict[str, Any]]] = []
    for path in sorted((scale_dir / RUNS).glob("*/*/*/run.json")):
        run = _read(path)
        if run is None:
            continue
        if not run.keys() >= IDENTITY or scale_dir / RUNS / _name(run) != path.parent:
            print(f"{path}: describes another run than its folder's name: not counted", file=sys.stderr)
        else:
            runs.append((path.parent, run))
    runs.sort(
        key=lambda item: (ORDER.get(item[1]["task"], 9), item[1]["dataset"], item[1]["experiment"], item[1]["seed"])
    )
    return [row for folder, run in runs for row in _rows_of_run(scale_dir, folder, run)]


def _rows_of_run(scale_dir: Path, folder: Path, run: dict[str, Any]) -> list[Row]:
    """One row for the training, one per score, one per metric of run.json without a score."""
    base = {key: run.get(key) for key in ("scale", "task", "experiment", "dataset", "seed", "base")}
    base |= {"model": run.get("model", {}).get("name"), "run_dir": folder.relative_to(scale_dir).as_posix()}
    base |= {"run": _name(run)}
    model = _read(folder / "model.json")
    planned = run.get("evaluation", {}).get("metrics", ())
    training = Row.of(base | _training_row(folder, run, model))
    found = [_score_row(path, run, model, planned) for path in sorted((folder / "scores").glob("*.json"))]
    rows = [training, *(Row.of(base | row) for row in found if row)]
    present = {row.metric for row in rows}
    for metric in planned:
        if metric not in present:
            reason = training.reason or "not evaluated yet"
            status = "failed" if training.status == "failed" else "missing"
            rows.append(Row.of(base | {"metric": metric, "weights": "last", "status": status, "reason": reason}))
    return rows


def _name(run: dict[str, Any]) -> str:
    return run_name(run["experiment"], run["dataset"], run["seed"])


def _training_row(folder: Path, run: dict[str, Any], model: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "metric": TRAINING,
        "weights": "last",
        "unit": "s",
        "direction": "none",
        "protocol": "training",
    }
    details: dict[str, Any] = {"args": run.get("model", {}).get("args", {}), "data": run.get("data", {}).get("path")}
    if model is None:
        begun = (folder / "history.csv").exists()
        return row | {
            "status": "missing",
            "reason": "training" if begun else "not started",
            "details": _compact(details),
        }
    training = model.get("training") or {}
    row |= {key: model.get(key) for key in ("status", "reason", "commit", "dirty", "code_sha256", "command")}
    row |= {key: model.get(key) for key in ("run_sha256", "data_sha256", "model_sha256")}
    row |= {key: training.get(key) for key in ("device", "precision", "compile", "peak_memory_bytes", "seconds")}
    row |= _versions(model) | {"value": training.get("seconds"), "details": _compact(details | training)}
    if _is_stale(model, run):
        row |= {"status": "missing", "reason": "stale: trained from another run.json, or by an earlier version"}
    return row


def _is_stale(record: dict[str, Any], run: dict[str, Any]) -> bool:
    return bool(record.get("run_sha256")) and record["run_sha256"] != training_hash(run)


def _score_row(
    path: Path, run: dict[str, Any], model: dict[str, Any] | None, planned: Sequence[str]
) -> dict[str, Any] | None:
    """Cells of a score; of one that is damaged or stale the reason why it does not count.

    None, and a line on stderr, for a file under no metric's name.
    """
    metric, _, weights = path.stem.partition("@")
    try:
        score = read_score(path)
    except InputError as error:
        if metric not in METRICS and metric not in planned:
            print(f"{error}: not counted", file=sys.stderr)
            return None
        reason = f"not a score: {str(error).removeprefix(f'{path}: ')}"
        return {"metric": metric, "weights": weights or "last", "status": "missing", "reason": reason}
    row = {key: value for key, value in vars(score).items() if key in COLUMNS and key not in ("run", "seed")}
    low, high = score.interval or (None, None)
    row |= {"interval_low": low, "interval_high": high, "details": _compact(score.details)}
    row |= _versions(vars(score))
    hashes = ((model or {}).get("model_sha256"), score.export_sha256)
    is_of_another_export = None not in hashes and hashes[0] != hashes[1]
    if _is_stale(vars(score), run) or is_of_another_export:
        row |= {"status": "missing", "value": None, "reason": "stale: score of another export"}
    return row


def _versions(record: dict[str, Any]) -> dict[str, Any]:
    versions = record.get("versions") or {}
    return {key: versions.get(key) for key in ("python", "torch", "cuda", "driver")}


def _mark_mixed_code(rows: list[Row], refuse: bool) -> list[Row]:
    """Rows of one experiment and metric that were made by different code are marked, in the paper scale refused."""
    digests: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.code_sha256:
            digests[row.task, row.experiment, row.metric].add(row.code_sha256)
    several = {key for key, found in digests.items() if len(found) > 1}
    if refuse and several:
        mixed = sorted({f"{experiment} ({metric})" for _, experiment, metric in several})
        names = ", ".join(mixed[:5]) + (" ..." if len(mixed) > 5 else "")
        raise InputError(
            f"rows made by different code cannot share the paper's tables: {names}; run them again, or allow mixed code"
        )
    return [replace(row, mixed_code=(row.task, row.experiment, row.metric) in several) for row in rows]


def nested_means(rows: list[Row]) -> dict[str, Any]:
    """{task: {dataset: {experiment: {"metric (protocol)": mean over seeds}}}} of last exports, timings left out."""
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        if row.ok and row.weights == "last" and row.value is not None and row.metric not in (TRAINING, "latency"):
            key = f"{row.metric} ({row.protocol})"
            values[row.task, row.dataset, row.experiment, key].append(row.value)
    tree: dict[str, Any] = {}
    for (task, dataset, experiment, key), seeds in sorted(values.items()):
        branch = tree.setdefault(task, {}).setdefault(dataset, {}).setdefault(experiment, {})
        branch[key] = float(f"{summarise(seeds).mean:.8g}")
    return tree


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no file, and with a line on stderr where it holds anything else."""
    if not path.exists():
        return None
    try:
        value = read_json(path)
    except InputError as error:
        print(f"{error}: not counted", file=sys.stderr)
        return None
    if not isinstance(value, dict):
        print(f"{path}: not a JSON object: not counted", file=sys.stderr)
        return None
    return value


def _compact(details: dict[str, Any]) -> str:
    return json.dumps(details, separators=(",", ":"), ensure_ascii=False)
