"""How far the runs are, and what finished ones cost: read from the run folders, without torch."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from bench.files import read_mapping, read_text
from bench.paths import lock_path, state_folder
from bench.plan import Plan
from bench.run import Run
from bench.runtime.locks import lock_file


@dataclass(frozen=True)
class RunState:
    """state: missing, queued, running, stopped, outdated, trained, ok or failed."""

    state: str
    step: int | None = None
    total: int | None = None
    reason: str | None = None


def run_state(run: Run, folder: Path) -> RunState:
    model = read_mapping(folder / "model.json")
    trained = model.get("run_sha256")
    if model.get("status") == "failed" and trained in (None, run.hash):
        return RunState("failed", reason=model.get("reason"))
    if model.get("status") == "ok" and trained == run.hash:
        return _scored(run, folder, model)
    state = state_folder(folder)
    step = _last_step(state / "outputs" / "history.csv")
    total = getattr(run.recipe, "steps", None)
    if _is_held(lock_path(folder)):
        return RunState("running", step, total)
    if step is not None:
        return RunState("stopped", step, total)
    if trained not in (None, run.hash):
        return RunState("outdated", reason="of another configuration or version: moved aside when trained again")
    return RunState("queued" if (folder / "run.json").exists() else "missing")


def _scored(run: Run, folder: Path, model: dict) -> RunState:
    """ok: every planned metric has a score of the weights that stand here."""
    scores = [read_mapping(folder / "scores" / f"{metric}.json") for metric in run.evaluation.metrics]
    failed = [score["metric"] for score in scores if score.get("status") == "failed"]
    if failed:
        return RunState("failed", reason=f"no score for {', '.join(failed)}")
    of_these = (score.get("model_sha256") == model.get("model_sha256") for score in scores if score)
    return RunState("ok" if all(scores) and all(of_these) else "trained")


def measured_seconds(plan: Plan, run: Run) -> float | None:
    """Mean training seconds of finished runs of the same experiment, data set and scale, any seed; None without any."""
    found = []
    for path in plan.folder_of(run).parent.glob("seed*/model.json"):
        model = read_mapping(path)
        seconds = (model.get("training") or {}).get("seconds")
        if model.get("status") == "ok" and seconds:
            found.append(float(seconds))
    return sum(found) / len(found) if found else None


def _last_step(path: Path) -> int | None:
    try:
        steps = [row["step"] for row in csv.DictReader(io.StringIO(read_text(path))) if row.get("step")]
        return int(float(steps[-1])) if steps else 0
    except ValueError:  # InputError too: no such file
        return None


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    lock = lock_file(path)
    if lock is None:
        return True
    lock.release()
    return False
