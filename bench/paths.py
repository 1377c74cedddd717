"""Where results lie, relative to the project root: one place, so that rules, commands and report agree."""

from pathlib import Path

from bench.errors import InputError

RESULTS = Path("results")


def run_folder(scale: str, experiment: str, dataset: str, seed: int | str) -> Path:
    """run.json, the export, history, samples and scores of one run."""
    return RESULTS / scale / "runs" / experiment / dataset / f"seed{seed}"


def state_folder(run_dir: Path) -> Path:
    """Resume state of a run: mirrors results/SCALE/runs under results/SCALE/state; elsewhere a hidden folder beside."""
    parts = Path(run_dir).parts
    if len(parts) >= 4 and parts[-4] == "runs":
        return Path(*parts[:-4], "state", *parts[-3:])
    if not parts:
        raise InputError("an output folder is needed")
    return Path(run_dir).parent / f".{Path(run_dir).name}-state"


def lock_path(run_dir: Path) -> Path:
    """Held by the one process that trains the run in `run_dir`; outside the state, which goes when the run is done."""
    state = state_folder(run_dir)
    return state.parent / f".{state.name.lstrip('.')}.lock"
