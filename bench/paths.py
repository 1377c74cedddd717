"""Paths of results and data, shared by rules, commands and report."""

from pathlib import Path

from bench.code_digest import ROOT as PROJECT

RESULTS, RUNS = Path("results"), "runs"
WEIGHTS, META = "model.safetensors", "model.json"
PREPARED, AUDIT_SUFFIX = Path("data/prepared"), ".audit.json"
"""Folder of the prepared datasets, and suffix of their audit records in this folder."""
META_COPY = ".model.json"
"""Copy of model.json. It is needed because a killed workflow may delete model.json, a declared output, even if the job
has finished."""


def project() -> Path:
    """Return the current folder if it is a project folder, else the project folder that contains this package.

    The two folders differ if the workflow is a Snakemake module of another project, because that project keeps its
    results in its own folder.
    """
    cwd = Path(".")
    return next((folder for folder in (cwd, PROJECT) if (folder / "config/datasets.yaml").is_file()), cwd)


def run_name(experiment: str, dataset: str, seed: int | str) -> str:
    """Return the name of a run within its scale."""
    return f"{experiment}/{dataset}/seed{seed}"


def run_folder(scale: str, experiment: str, dataset: str, seed: int | str) -> Path:
    """Return the folder of run.json, export, history, samples and scores of one run, relative to the project root."""
    return RESULTS / scale / RUNS / run_name(experiment, dataset, seed)


def state_folder(run_dir: Path) -> Path:
    """Return the folder of a run's checkpoints.

    This folder is in results/SCALE/state if `run_dir` is in results/SCALE/runs. Otherwise, it is a hidden folder next
    to `run_dir`.
    """
    return _related(run_dir, "state", "{}", ".{}-state")


def superseded_folder(run_dir: Path, number: int) -> Path:
    """Return the folder to which the `number`-th superseded run of `run_dir` is moved.

    For number 1, this is results/SCALE/superseded/EXPERIMENT/DATASET/seedN-1 if `run_dir` is in results/SCALE/runs, and
    NAME.superseded-1 next to `run_dir` otherwise.
    """
    return _related(run_dir, "superseded", f"{{}}-{number}", f"{{}}.superseded-{number}")


def _related(run_dir: Path, tree: str, in_results: str, elsewhere: str) -> Path:
    """Return a folder that belongs to `run_dir`.

    If `run_dir` is in results/SCALE/runs, the folder has the same relative path in results/SCALE/`tree`, and its name
    follows the pattern `in_results`. Otherwise, the folder is next to `run_dir`, and its name follows the pattern
    `elsewhere`.
    """
    cwd = Path.cwd()
    folder = cwd / run_dir
    if ".." in folder.parts:
        folder = folder.resolve()
    if folder.parts[-4:-3] == (RUNS,):
        related = Path(*folder.parts[:-4], tree, *folder.parts[-3:-1], in_results.replace("{}", folder.name))
    else:
        related = folder.parent / elsewhere.replace("{}", folder.name)
    is_relative = not Path(run_dir).is_absolute() and related.is_relative_to(cwd)
    return related.relative_to(cwd) if is_relative else related


def lock_path(run_dir: Path) -> Path:
    """Return the lock file of the training in `run_dir`.

    The file is outside the state folder, because training deletes that folder.
    """
    state = state_folder(run_dir)
    return state.parent / f".{state.name.lstrip('.')}.lock"


def find_data(path: str, run_file: Path | None = None) -> Path | None:
    """Return the folder of the prepared dataset at `path`, or None if it does not exist.

    `path` is the value of `data.path` in `run_file`. A relative path is resolved against the current folder, then the
    project that contains `run_file`, then the project of this package.
    """
    above = run_file.resolve().parents if run_file is not None else ()
    nearest = next((folder for folder in above if (folder / "config/datasets.yaml").is_file()), None)
    projects = [project for project in (nearest, PROJECT) if project is not None]
    folders = [Path(path).expanduser(), *(project / path for project in projects)]
    return next((folder for folder in folders if folder.exists()), None)
