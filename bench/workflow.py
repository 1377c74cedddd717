"""Defines the input functions and parameters of the Snakemake rules, so that the rules contain no logic."""

import errno
import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal, Self

from bench.config import Configuration
from bench.data.audit_record import audit_path
from bench.data.fetch import refuse_changed_source
from bench.data.manifest import MANIFEST
from bench.data.receipts import receipt_path
from bench.data.sources import SOURCES
from bench.errors import InputError, storage_error
from bench.files import read_json, read_yaml
from bench.input_hashes import COMPLETE
from bench.job_length import priority_of, scoring_seconds, training_seconds
from bench.metrics.catalogue import METRICS
from bench.missing_data import MissingData
from bench.needs import PERCEPTUAL_WEIGHTS
from bench.outdated import Outdated, reset_future_time
from bench.outdated_inputs import OUTDATED_REASONS, REASON_PREFIX, OutdatedInputs, prepared_folder
from bench.paths import RESULTS
from bench.plan import Plan
from bench.report.outputs import PAGE
from bench.run import FewShotRecipe, Run
from bench.runtime.cluster import choose_status_command, on_cluster
from bench.runtime.leases import visible_devices
from bench.runtime.locks import check_lockable
from bench.terminal import one_line
from bench.workload import images_of

DEFAULT = "demo"
MIN_FREE_BYTES = 1_000_000


class WorkflowPlan(Plan):
    """Plan with the functions that the rules call. The argument `w` contains the wildcards of a job."""

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        self.outdated = Outdated(self)
        self._outdated_inputs = OutdatedInputs(self)
        self._workflow: Any = None
        self._limits_gpus = False
        self._planned_suites: set[str] = set()
        self._missing_data = MissingData(self)

    @classmethod
    def open(cls, config: Mapping[str, Any], files: Iterable[Path] = ()) -> Self:
        """Read the configuration merged by Snakemake. A configuration error ends Snakemake with a one-line message.

        `files`: files of --configfile. They are read again to find duplicate keys, because Snakemake silently uses the
        last value of a duplicate key.
        """
        # jobs find the commands of the environment even if it is not activated
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with _exit_on_error():
            _refuse_full_disk(Path("."))
            for path in files:
                read_json(path) if Path(path).suffix == ".json" else read_yaml(path)
            plan = cls.load(config)
            for name, folder in plan.folders.items():
                refuse_changed_source(name, Path(folder.path).expanduser())
        return plan

    def attach(self, workflow: Any) -> None:
        """Read targets and executor from Snakemake's `workflow` object, and limit the GPUs to the GPUs of this machine.

        On a cluster, `request` removes the limit later, because the executor is not known yet. A Snakemake process that
        runs a single job ignores SLURM's warning signal. Otherwise Snakemake and its job step would end, and the
        training would be killed before it writes its checkpoint.
        """
        self._workflow = workflow
        if not getattr(workflow, "is_main_process", True):
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        asked = workflow.resource_settings.overwrite_resources.values()  # --set-resources
        self._limits_gpus = "gpu" not in workflow.global_resources and not any("gpu" in given for given in asked)
        if self._limits_gpus:
            workflow.global_resources["gpu"] = self.gpus

    @property
    def gpus(self) -> int:
        return len(visible_devices())

    def request(self, rule: Literal["train", "evaluate"], resource: str) -> Callable[[Any], int]:
        """Return a function for the resource that a job of `rule` requests: `mem_mb`, `minutes` or `gpus`.

        On a cluster, config/scales.yaml defines the requests. On this machine a job uses one GPU if there is one, and
        Snakemake runs at most one job per GPU. Cluster jobs have no such limit, because Snakemake would reduce every
        request to the limit. If the head node has no GPU, no job would then have a GPU.
        """

        def requested(w: Any) -> int:
            cluster = on_cluster(self._workflow)
            if cluster and self._limits_gpus:
                self._workflow.global_resources["gpu"] = None
            if resource == "gpus" and not cluster:
                return min(1, self.gpus)
            return getattr(getattr(self.jobs(self.run_of(w)), rule), resource)

        return requested

    @cached_property
    def _status_command(self) -> str | None:
        """On SLURM, choose the program that reports the states of jobs, and print the choice.

        The executor's settings exist only once jobs are planned, not yet when the rules are read.
        """
        with _exit_on_error():
            chosen = choose_status_command(getattr(self._workflow, "executor_settings", None))
        if chosen is not None:
            print(f"slim-bench: {one_line(chosen)}", file=sys.stderr, flush=True)
        return chosen

    @property
    def report_scale(self) -> str:
        return self.configuration.settings.scale or DEFAULT

    # ---- outdated outputs -------------------------------------------------------------------------------------

    def outdated_input(self, rule: str) -> Callable[[Any], list[str]]:
        """Return an input function for `rule`.

        The input function returns the outputs of note_outdated that make Snakemake renew the output of a job.
        """

        def inputs(w: Any) -> list[str]:
            _ = self._status_command
            with _exit_on_error():
                return self._outdated_inputs.of(rule, w)

        return inputs

    # ---- data ----------------------------------------------------------------------------------------------------

    def folder_option(self, w: Any) -> str:
        """Return the option --folder for a user's dataset; an empty string for a dataset of the catalogue."""
        folder = self.folders.get(w.dataset)
        return "" if folder is None else "--folder " + shlex.quote(f"{w.dataset}={folder.as_yaml()}")

    @property
    def limit_option(self) -> str:
        """Return the option --max-unpacked-gb; an empty string if the user does not set this limit."""
        limit = self.configuration.settings.max_unpacked_gb
        return "" if limit is None else f"--max-unpacked-gb {limit}"

    @property
    def source_options(self) -> str:
        """Return the options for section `data` of config.yaml; an empty string for the defaults."""
        given = self.configuration.settings.data
        options = ["--trust-first-use"] if given.trust_first_use else []
        return shlex.join([*options, "--mirror", given.mirror] if given.mirror else options)

    @property
    def sources(self) -> str:
        """Folder of downloaded files. Snakemake modules of several projects share the folder of this project."""
        return (self.configuration.root / SOURCES).as_posix()

    def receipt(self, w: Any) -> str:
        return (self.configuration.root / receipt_path(w.dataset)).as_posix()

    def audited(self, w: Any) -> list[str]:
        """Return the manifest of a dataset that is audited after its preparation; an empty list for image files."""
        layout = self.configuration.catalogue.dataset(w.dataset).layout
        return [] if layout in ("images", "imagefolder") else [f"{prepared_folder(w)}/{MANIFEST}"]

    def weights(self, needed: Iterable[str]) -> list[str]:
        """Return the marker files of pretrained weights to download. Weights in an installed package need no marker."""
        known = self.configuration.catalogue.weights
        markers = [f"{self.sources}/{name}.fetched" for name in sorted(set(needed)) if known[name].package is None]
        for marker in markers:
            reset_future_time(Path(marker))
        return markers

    def training_weights(self, w: Any) -> list[str]:
        recipe = self.run_of(w).recipe
        return self.weights(PERCEPTUAL_WEIGHTS.get(recipe.perceptual, ()) if isinstance(recipe, FewShotRecipe) else ())

    def scoring_weights(self, w: Any) -> list[str]:
        metrics = self.run_of(w).evaluation.metrics
        return self.weights(name for metric in metrics for name in METRICS[metric].weights)

    # ---- runs ----------------------------------------------------------------------------------------------------

    def run_of(self, w: Any) -> Run:
        return self.run(w.scale, w.experiment, w.dataset, int(w.seed))

    def priority(self, rule: Literal["train", "evaluate"]) -> Callable[[Any], float]:
        """Return a function that computes the priority of a job from the expected time of its run's remaining jobs."""

        def remaining(w: Any) -> float:
            run = self.run_of(w)
            images = images_of(run, self.configuration.catalogue.dataset(run.dataset))
            scoring = scoring_seconds(run, images)
            return priority_of(scoring if rule == "evaluate" else training_seconds(run, images) + scoring)

        return remaining

    def manifest(self, w: Any) -> str:
        return f"{self.run_of(w).data.path}/manifest.json"

    def threads(self, w: Any) -> int:
        return self.run_of(w).compute.threads or 1

    # ---- suites and the report -----------------------------------------------------------------------------------

    def targets(self, suite: str) -> list[str]:
        """Return the input files of a suite's target: its runs, models and scores, and the report.

        Runs and models are listed explicitly, because Snakemake does not recreate missing intermediate files.
        """
        self._planned_suites.add(suite)
        with _exit_on_error():
            folders = [self.folder_of(run) for run in self.runnable(suite)]
            if unmatched := self.unmatched(suite):
                print(f"slim-bench: target {suite} has no {', '.join(unmatched)}", file=sys.stderr, flush=True)
            outputs = [folder / name for folder in folders for name in ("run.json", "model.json")]
            report = RESULTS / self.scale_of(suite)
            for path in (*outputs, report / "scores.csv", report / PAGE):
                _refuse_folder(path)
            for folder in folders:
                _refuse_file(folder / "scores")
                _refuse_loop(folder / "scores" / COMPLETE)
            _refuse_loop(Path(self.marker(suite)))
        return [self.marker(suite), *map(str, outputs), *self.audits(suite), *self.scores(suite), str(report / PAGE)]

    def runnable(self, suite: str) -> list[Run]:
        """Return the runs of a suite, except those whose dataset the user must install first.

        The first call for a suite prints these datasets.
        """
        return self._missing_data.runnable(suite)

    def audits(self, suite: str) -> list[str]:
        return list(dict.fromkeys(audit_path(run.data.path).as_posix() for run in self.runnable(suite)))

    def audits_of_scale(self, w: Any) -> list[str]:
        """Return the audit records that the page shows, which are those of the requested suites."""
        suites = [suite for suite in self.requested_suites if self.scale_of(suite) == w.scale]
        return list(dict.fromkeys(path for suite in suites for path in self.audits(suite)))

    def scores(self, suite: str) -> list[str]:
        return [f"{self.folder_of(run)}/scores/{COMPLETE}" for run in self.runnable(suite)]

    def marker(self, suite: str) -> str:
        return f"{RESULTS}/{self.scale_of(suite)}/suites/{suite}.finished"

    @property
    def requested_suites(self) -> list[str]:
        """Return the suites that are targets of Snakemake, and the suites whose targets are inputs of another rule."""
        named = set(self._workflow.dag_settings.targets or [self._workflow.default_target]) & set(self.suites)
        return sorted(named | self._planned_suites)

    def finished(self, w: Any) -> list[str]:
        """Return the marker files of the requested suites. These inputs define only the order of jobs."""
        return [self.marker(suite) for suite in self.requested_suites if self.scale_of(suite) == w.scale]

    @property
    def collect_options(self) -> str:
        return "--allow-mixed-code" if self.configuration.settings.allow_mixed_code else ""


def clear_stale_lock(folder: Path = Path(".snakemake")) -> IO[str]:
    """Remove the lock files of a killed Snakemake. The caller keeps the returned file open until the process ends.

    Snakemake's lock files survive a SIGKILL and do not identify their owner. Every Snakemake process of this project
    therefore acquires a shared kernel lock, which the kernel releases when the process ends. If this process can
    acquire the lock exclusively, no other Snakemake process is running, so all lock files are stale. The package
    filelock is not used, because it cannot change an exclusive lock to a shared lock.
    """
    with _exit_on_error():
        folder.mkdir(exist_ok=True)
        path = folder / "slim-bench.lock"
        check_lockable(path)
        lock_file = path.open("a")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in (folder / "locks").glob("*.lock"):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    fcntl.flock(lock_file, fcntl.LOCK_SH)
    return lock_file


def clear_outdated_reasons() -> None:
    """Remove the reason files of earlier workflow starts."""
    with _exit_on_error():
        for path in OUTDATED_REASONS.rglob("*"):
            if path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(REASON_PREFIX):
                path.unlink()


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """End Snakemake on an error, with the one-line message that a command would print."""
    try:
        yield
    except InputError as error:
        raise SystemExit(f"slim-bench: error: {one_line(error)}") from None
    except OSError as error:
        raise SystemExit(f"slim-bench: error: {one_line(storage_error(error))}") from None


def _refuse_full_disk(folder: Path) -> None:
    """Raise InputError if there is no space for Snakemake's own files, because Snakemake would print a traceback."""
    system = os.statvfs(folder)
    if system.f_blocks and system.f_bavail * system.f_frsize < MIN_FREE_BYTES:
        raise storage_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder / ".snakemake", MIN_FREE_BYTES)


def _refuse_folder(path: Path) -> None:
    """Raise InputError for a folder in place of a declared output, because Snakemake's own error states no remedy."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but a file must be written there; move it away")
    _refuse_file(path.parent)
    _refuse_loop(path)


def _refuse_loop(path: Path) -> None:
    """Raise InputError for a symbolic link to itself, because Snakemake would print a traceback."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path}: is a link to itself, but must be a file; delete the link") from None


def _refuse_file(folder: Path) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but a folder must be created there; move it away")
