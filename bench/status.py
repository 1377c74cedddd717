"""States of runs, read from the run folders without importing torch."""

import csv
import io
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.files import read_text
from bench.frozen import current_hashes
from bench.ownership import is_complete_weights
from bench.paths import META, WEIGHTS, lock_path, state_folder
from bench.run import Run, read_run
from bench.runtime.locks import is_locked
from bench.score import read_run_score, score_path
from bench.training_record import Trained, read_trained

SUPERSEDE = "`slim-bench train` moves it to superseded/"


@dataclass(frozen=True)
class RunState:
    """State of a run: missing, queued, running, stopped, damaged, outdated, trained, ok or failed."""

    state: str
    step: int | None = None
    total: int | None = None
    reason: str | None = None


def run_state(planned: Run, folder: Path) -> RunState:
    state = state_folder(folder)
    step = _last_step(state / "outputs" / "history.csv")
    total = getattr(planned.recipe, "steps", None)
    is_running = is_locked(lock_path(folder))
    try:
        if os.path.lexists(folder / "run.json"):
            read_run(folder / "run.json")
        model = read_trained(folder / META) if os.path.lexists(folder / META) else None
    except InputError as error:
        return RunState("running", step, total) if is_running else RunState("damaged", reason=str(error))
    hashes = current_hashes(planned, folder)
    if model is not None and model.status == "failed" and model.run_sha256 in (None, *hashes):
        return RunState("failed", reason=model.reason)
    if model is not None and model.status == "ok" and model.run_sha256 in hashes:
        if os.path.lexists(folder / WEIGHTS) and not is_complete_weights(folder / WEIGHTS):
            return RunState("damaged", reason=f"{folder / WEIGHTS} is damaged; {SUPERSEDE}")
        return _scored(planned, folder, hashes, model)
    if is_running:
        return RunState("running", step, total)
    if step is not None:
        return RunState("stopped", step, total)
    if model is not None and model.run_sha256 not in (None, *hashes):
        return RunState("outdated", reason=f"trained with another configuration or version; {SUPERSEDE}")
    return RunState("queued" if (folder / "run.json").exists() else "missing")


def _scored(run: Run, folder: Path, hashes: Collection[str], model: Trained) -> RunState:
    """Return the state of a trained run. It is `ok` if every planned metric has a score of the current weights."""
    failed, problems = [], []
    for metric in run.evaluation.metrics:
        path = score_path(folder / "scores", metric)
        try:
            if read_run_score(path, run.name, hashes, model).status == "failed":
                failed.append(metric)
        except InputError as error:
            problems.append(str(error) if os.path.lexists(path) else None)
    if failed:
        return RunState("failed", reason=f"no score for {', '.join(failed)}")
    reason = next((problem for problem in problems if problem), None)
    if not problems and not (folder / "run.json").exists():
        return RunState("damaged", reason=f"{folder}/run.json: no such file")
    return RunState("trained", reason=reason) if problems else RunState("ok")


def _last_step(path: Path) -> int | None:
    try:
        steps = [row["step"] for row in csv.DictReader(io.StringIO(read_text(path))) if row.get("step")]
        return int(float(steps[-1])) if steps else 0
    except (ValueError, OverflowError, csv.Error):  # ValueError includes InputError, raised for a missing file
        return None
