"""Where results and data lie: one place, so that rules, commands and report agree."""

from pathlib import Path

from bench.code_digest import ROOT as PROJECT

RESULTS = Path("results")


def run_folder(scale: str, experiment: str, dataset: str, seed: int | str) -> Path:
    """run.json, the export, history, samples and scores of one run, relative to the project root."""
    return RESULTS / scale / "runs" / experiment / dataset / f"seed{seed}"


def state_folder(run_dir: Path) -> Path:
    """Resume state of a run: mirrors results/SCALE/runs under results/SCALE/state; elsewhere a hidden folder beside."""
    here = Path.cwd()
    folder = here / run_dir
    if ".." in folder.parts:
        folder = folder.resolve()
    if folder.parts[-4:-3] == ("runs",):
        state = Path(*folder.parts[:-4], "state", *folder.parts[-3:])
    else:
        state = folder.parent / f".{folder.name}-state"
    named_from_here = not Path(run_dir).is_absolute() and state.is_relative_to(here)
    return state.relative_to(here) if named_from_here else state


def lock_path(run_dir: Path) -> Path:
    """Held by the one process that trains the run in `run_dir`; outside the state, which goes when the run is done."""
    state = state_folder(run_dir)
    return state.parent / f".{state.name.lstrip('.')}.lock"


def find_data(path: str, run_file: Path | None = None) -> Path | None:
    """The prepared folder that `data.path` of `run_file` names, wherever a job is started; None if it is nowhere.

    A relative path counts from the present folder; if it is not there, from the project that holds `run_file`, then
    from the project of this package.
    """
    projects = [project for project in (_project_above(run_file), PROJECT) if project is not None]
    folders = [Path(path).expanduser(), *(project / path for project in projects)]
    return next((folder for folder in folders if folder.exists()), None)


def _project_above(file: Path | None) -> Path | None:
    """The nearest folder above `file` that holds a project's configuration."""
    folders = file.resolve().parents if file is not None else ()
    return next((folder for folder in folders if (folder / "config/datasets.yaml").is_file()), None)
