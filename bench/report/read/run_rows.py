"""Rows of scores.csv for one run: one row for its training, and one for each score.

The row of an unreadable score states the file and the reason.

A run with an unreadable run.json also has rows. The task and metrics of such a run are taken from its model.json, from
another run of the same experiment, or from its score files.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.errors import InputError
from bench.files import read_json
from bench.frozen import accepted_hashes
from bench.input_hashes import read_complete
from bench.metrics.catalogue import METRICS
from bench.paths import META, META_COPY, RUNS, run_name
from bench.report.read.row import COLUMNS, TRAINING, Row
from bench.schema import Seed, Task, parse_strict
from bench.score import Score, StaleError, read_run_score
from bench.training_record import Trained, read_trained

RUN_TRACES = ("run.json", META, META_COPY, "history.csv", "scores")
"""Names of files and folders. A folder that contains at least one of these is a run folder."""
SEED = re.compile(r"seed(\d{1,15})")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Network(_Part):
    name: str
    args: dict[str, Any] = {}


class _Data(_Part):
    path: str = ""


class _Evaluation(_Part):
    metrics: tuple[str, ...] = ()


class RunDescription(_Part):
    """Keys that the report reads from a run.json of any version."""

    schema_version: int = 1
    scale: str
    task: Task
    experiment: str
    dataset: str
    seed: Seed
    base: str | None = None
    model: _Network
    data: _Data = _Data()
    evaluation: _Evaluation = _Evaluation()

    @property
    def name(self) -> str:
        return run_name(self.experiment, self.dataset, self.seed)


@dataclass(frozen=True)
class RunFolder:
    """A run folder with its description, or the reason why the description cannot be read."""

    path: Path
    experiment: str
    dataset: str
    seed: int
    described: RunDescription | None = None
    hashes: frozenset[str] = frozenset()
    problem: str = ""

    @property
    def name(self) -> str:
        return run_name(self.experiment, self.dataset, self.seed)


def run_folders(scale_dir: Path) -> list[RunFolder]:
    """Return all run folders of a scale.

    A folder whose name is not the name of a run is reported on stderr and skipped.
    """
    found = []
    for path in sorted((scale_dir / RUNS).glob("*/*/*")):
        if not path.is_dir() or not any(os.path.lexists(path / name) for name in RUN_TRACES):
            continue
        seed = SEED.fullmatch(path.name)
        if seed is None or path.name != f"seed{int(seed[1])}":
            print(f"{path}/run.json: the folder name is not of the form seedN; skipped", file=sys.stderr)
            continue
        found.append(_run_folder(RunFolder(path, path.parts[-3], path.parts[-2], int(seed[1]))))
    return found


def _run_folder(folder: RunFolder) -> RunFolder:
    try:
        value = read_json(folder.path / "run.json")
        described = parse_strict(RunDescription, value, folder.path / "run.json")
        if described.name != folder.name:
            raise InputError(f"{folder.path}/run.json: describes {described.name}, which does not match the folder")
        return _replace(folder, described=described, hashes=accepted_hashes(value, folder.path))
    except InputError as error:
        return _replace(folder, problem=_relative_message(folder.path, error), described=_recorded(folder))


def _replace(folder: RunFolder, **changes: Any) -> RunFolder:
    return RunFolder(**{**vars(folder), **changes})


def _recorded(folder: RunFolder) -> RunDescription | None:
    """Return the description of the run from model.json, or None if model.json is invalid or describes another run."""
    try:
        value = read_trained(folder.path / META).description
        described = parse_strict(RunDescription, value, folder.path / META)
    except InputError:
        return None
    return described if described.name == folder.name else None


def rows_of_runs(scale_dir: Path, folders: list[RunFolder]) -> Iterator[list[Row]]:
    """Yield the rows of each folder.

    A folder without a description uses the description of another run of its experiment.
    """
    known: dict[str, RunDescription] = {}
    for folder in folders:
        if folder.described is not None:
            known.setdefault(folder.experiment, folder.described)
    for folder in folders:
        described = folder.described or known.get(folder.experiment)
        base: dict[str, Any] = {"scale": scale_dir.name, "experiment": folder.experiment, "dataset": folder.dataset}
        base |= {"seed": folder.seed, "run": folder.name, "run_dir": folder.path.relative_to(scale_dir).as_posix()}
        if described is not None:
            base |= {"task": described.task, "base": described.base, "model": described.model.name}
            base |= {"scale": described.scale}
        else:
            base |= {"task": _task_of_scores(folder.path / "scores")}
        metrics = described.evaluation.metrics if described is not None else ()
        yield _rows_of_run(folder, base, metrics)


def _task_of_scores(folder: Path) -> str:
    """Return the task that has all metrics of the score files, or empty text if there is not exactly one such task."""
    metrics = {path.stem.partition("@")[0] for path in folder.glob("*.json")} & METRICS.keys()
    tasks = set.intersection(*(set(METRICS[metric].tasks) for metric in metrics)) if metrics else set()
    return tasks.pop() if len(tasks) == 1 else ""


def _rows_of_run(folder: RunFolder, base: Mapping[str, Any], metrics: tuple[str, ...]) -> list[Row]:
    """Return one row for training, one for each score, and one for each planned score that is missing."""
    trained, problem = _training_record(folder)
    training = Row.of({**base, **_training_row(folder, trained, problem)})
    rows = {}
    for name in _score_names(folder.path / "scores", metrics):
        metric, _, weights = name.partition("@")
        is_known = metric in METRICS or metric in metrics
        path = folder.path / "scores" / f"{name}.json"
        row: dict[str, Any] = {"metric": metric, "weights": weights or "last", "status": "missing"}
        try:
            if trained is None and not is_known:
                continue
            if trained is None or (not training.ok and not os.path.lexists(path)):
                row |= {"status": training.status, "reason": training.reason}
            elif not os.path.lexists(path) and not _evaluated_scores(folder.path / "scores"):
                row |= {"reason": "not evaluated yet"}
            else:
                row |= _score_row(read_run_score(path, folder.name, folder.hashes, trained))
        except StaleError:
            row |= {"reason": "outdated: score of other weights"}
        except InputError as error:
            if not is_known:
                print(f"{error}; skipped", file=sys.stderr)
                continue
            row |= {"reason": f"not a score: {_relative_message(folder.path, error)}"}
        rows[name] = Row.of({**base, **row})
    return [training, *rows.values()]


def _score_names(folder: Path, metrics: tuple[str, ...]) -> list[str]:
    """Return the stems of existing, recorded and planned score files."""
    found = sorted(path.stem for path in folder.glob("*.json"))
    return list(dict.fromkeys([*found, *_evaluated_scores(folder), *metrics]))


def _evaluated_scores(folder: Path) -> list[str]:
    """Return the stems of the scores in the record of a complete evaluation, or [] if the record is unreadable."""
    try:
        return [Path(name).stem for name in read_complete(folder).files]
    except InputError:
        return []


def _training_record(folder: RunFolder) -> tuple[Trained | None, str]:
    """Return (training record, ""), or (None, reason) if there is no valid record."""
    if folder.problem:
        return None, folder.problem
    path = folder.path / META
    if not os.path.lexists(path):
        if (folder.path / META_COPY).exists() or any((folder.path / "scores").glob("*.json")):
            return None, f"{META}: no such file"
        return None, "training" if (folder.path / "history.csv").exists() else "not started"
    try:
        return read_trained(path), ""
    except InputError as error:
        return None, _relative_message(folder.path, error)


def _training_row(folder: RunFolder, trained: Trained | None, problem: str) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": TRAINING, "weights": "last", "unit": "s", "direction": "none"}
    row |= {"protocol": "training", "status": "missing", "reason": problem}
    described = folder.described
    details: dict[str, Any] = {}
    if described is not None:
        details |= {"args": described.model.args, "data": described.data.path}
    if trained is None:
        return row | {"details": _compact(details)}
    training = trained.training.model_dump(mode="json") if trained.training else {}
    row |= {key: getattr(trained, key) for key in ("status", "reason", "commit", "dirty", "code_sha256", "command")}
    row |= {key: getattr(trained, key) for key in ("run_sha256", "data_sha256", "model_sha256")}
    row |= {key: training.get(key) for key in ("device", "precision", "compile", "peak_memory_bytes", "seconds")}
    row |= _versions(trained.versions) | {"value": training.get("seconds"), "details": _compact(details | training)}
    if trained.run_sha256 and trained.run_sha256 not in folder.hashes:
        row |= {"status": "missing", "reason": "outdated: trained with another run.json or an earlier slim-bench"}
    return row


def _score_row(score: Score) -> dict[str, Any]:
    row = {key: value for key, value in vars(score).items() if key in COLUMNS and key not in ("run", "seed")}
    low, high = score.interval or (None, None)
    row |= {"interval_low": low, "interval_high": high, "details": _compact(score.details)}
    return row | _versions(score.versions)


def _versions(versions: Mapping[str, str | None] | None) -> dict[str, Any]:
    return {key: (versions or {}).get(key) for key in ("python", "torch", "cuda", "driver")}


def _relative_message(folder: Path, error: InputError) -> str:
    """Return the error message with paths relative to the run folder, so that moved results have the same message."""
    return str(error).replace(f"{folder}/", "")


def _compact(details: dict[str, Any]) -> str:
    return json.dumps(details, separators=(",", ":"), ensure_ascii=False)
