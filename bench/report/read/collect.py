"""Collects the scores under results/{scale}/runs in one tidy table with a row per run x metric x weights.

`scores.csv` has all provenance fields, and `metrics.json` has nested means for `dvc metrics diff`. Unfinished runs,
planned metrics without a score, damaged files, and scores of weights that were replaced by a later training have rows
with status `missing`.
"""

import csv
import io
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import read_mapping, sha256_file, write_json, write_text
from bench.input_hashes import COLLECTED, collected_from, is_origin_record
from bench.ownership import FilePredicate, is_truncated, move_if_foreign, read_head, refuse_foreign
from bench.report.compare.statistics import summarise
from bench.report.read.row import COLUMNS, MACHINE_TIMES, Row
from bench.report.read.run_rows import rows_of_runs, run_folders

TASK_ORDER = {"fewshot": 0, "oneshot": 1, "classification": 2}


def _is_table(path: Path) -> bool:
    """Return whether a file is a scores.csv, even a truncated one. The first five columns never change."""
    start = (",".join(COLUMNS[:5]) + ",").encode()
    return start.startswith(read_head(path, len(start)))


def _is_means(path: Path) -> bool:
    means = read_mapping(path)
    truncated = any(is_truncated(path, f'"{task}": ') for task in TASK_ORDER)
    return read_head(path, 8).strip() == b"{}" or (bool(means) and means.keys() <= TASK_ORDER.keys()) or truncated


OUTPUT_TESTS: dict[str, FilePredicate] = {
    "scores.csv": _is_table,
    "metrics.json": _is_means,
}


def collect(scale_dir: Path, allow_mixed_code: bool = False) -> None:
    """Write `scale_dir`/scores.csv and metrics.json."""
    scale_dir = Path(scale_dir)
    for name, ours in OUTPUT_TESTS.items():
        refuse_foreign(scale_dir / name, ours, "move it away")
    move_if_foreign(scale_dir / COLLECTED, is_origin_record)
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
    """Return the rows of every run folder, sorted by task, dataset, experiment and seed."""
    runs = list(rows_of_runs(scale_dir, run_folders(scale_dir)))
    runs.sort(key=lambda rows: (TASK_ORDER.get(rows[0].task, 9), rows[0].dataset, rows[0].experiment, rows[0].seed))
    return [row for rows in runs for row in rows]


def _mark_mixed_code(rows: list[Row], refuse: bool) -> list[Row]:
    """Mark rows whose experiment and metric have scores of several code versions. If `refuse`, raise InputError."""
    digests: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.code_sha256:
            digests[row.task, row.experiment, row.metric].add(row.code_sha256)
    several = {key for key, found in digests.items() if len(found) > 1}
    if refuse and several:
        mixed = sorted({f"{experiment} ({metric})" for _, experiment, metric in several})
        names = ", ".join(mixed[:5]) + (" ..." if len(mixed) > 5 else "")
        raise InputError(
            f"different code versions computed the scores of one table row: {names}; "
            "run these experiments again, or pass --allow-mixed-code"
        )
    return [replace(row, mixed_code=(row.task, row.experiment, row.metric) in several) for row in rows]


def nested_means(rows: list[Row]) -> dict[str, Any]:
    """Return {task: {dataset: {experiment: {"metric (protocol)": mean over seeds}}}} of the `last` weights.

    Metrics in MACHINE_TIMES are left out.
    """
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        if row.ok and row.weights == "last" and row.value is not None and row.metric not in MACHINE_TIMES:
            key = f"{row.metric} ({row.protocol})"
            values[row.task, row.dataset, row.experiment, key].append(row.value)
    tree: dict[str, Any] = {}
    for (task, dataset, experiment, key), seeds in sorted(values.items()):
        branch = tree.setdefault(task, {}).setdefault(dataset, {}).setdefault(experiment, {})
        branch[key] = float(f"{summarise(seeds).mean:.8g}")
    return tree
