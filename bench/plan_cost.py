"""Estimates hours, peak memory and energy of runs on one device from measured throughput and finished runs.

The time of a step, an epoch or an image is measured, with a range (bench.throughput). If a run of the same workload has
finished on the same device, the time of its steps replaces the measured time. Without a measurement and without a
finished run, the cost is unknown, because nothing is extrapolated from another device or another size. This module does
not import torch.
"""

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from bench.data.manifest import MANIFEST
from bench.errors import InputError
from bench.job_benchmark import scoring_job_seconds
from bench.paths import META
from bench.plan import Plan
from bench.provenance import slug
from bench.run import Run
from bench.status import run_state
from bench.throughput import Rate, Throughput, local_device
from bench.training_record import Training, read_trained
from bench.workload import (
    Images,
    Workload,
    images_of,
    preparation_workload,
    scored_images,
    scoring_workload,
    selection_images,
    steps_of,
    training_workload,
)

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Span:
    """A time in seconds with its range."""

    seconds: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Span") -> "Span":
        return Span(self.seconds + other.seconds, self.low + other.low, self.high + other.high)

    def times(self, count: float, fixed: float = 0.0) -> "Span":
        return Span(*(fixed + count * value for value in (self.seconds, self.low, self.high)))

    @classmethod
    def of_values(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class JobCost:
    """Cost of training or scoring one run, or of preparing one dataset.

    If the cost is unknown, `span` is None and `missing` contains the reason.
    """

    workload: Workload
    span: Span | None
    done: bool
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class RunEstimate:
    """Jobs of a run, and whether the run is finished."""

    run: Run
    jobs: tuple[JobCost, ...]
    done: bool


@dataclass
class Total:
    """Sum over runs or datasets. `unknown` is the number of jobs of unknown cost, which `span` excludes."""

    count: int = 0
    done: int = 0
    span: Span = field(default_factory=Span)
    left: Span = field(default_factory=Span)
    jobs: int = 0
    unknown: int = 0
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None

    def add(self, jobs: Iterable[JobCost], done: bool) -> None:
        """Count one run or dataset with its jobs."""
        self.count += 1
        self.done += done
        self.add_jobs(jobs)

    def add_jobs(self, jobs: Iterable[JobCost]) -> None:
        for job in jobs:
            self.jobs += 1
            if job.span is None:
                self.unknown += 1
                continue
            self.span += job.span
            self.left += Span() if job.done else job.span
            if job.peak_memory_bytes is not None:
                self.peak_memory_bytes = max(job.peak_memory_bytes, self.peak_memory_bytes or 0)
            if job.energy_joules is not None:
                self.energy_joules = (self.energy_joules or 0.0) + job.energy_joules


@dataclass
class FinishedRuns:
    """Runs that finished on a device, by the key of their workload.

    `training` contains (dataset, training record) of each run, and `scoring` the seconds of each scoring job.
    """

    training: dict[str, list[tuple[str, Training]]] = field(default_factory=dict)
    scoring: dict[str, list[float]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.training.values()))


class CostEstimator:
    """Computes the cost of runs of `plan` on a device. The times of `finished` runs replace measured times."""

    def __init__(self, plan: Plan, throughput: Throughput):
        self.plan, self.throughput, self.finished = plan, throughput, FinishedRuns()
        self._is_this_cpu = throughput.device == local_device("cpu")

    def estimate(self, runs: Sequence[Run]) -> list[RunEstimate]:
        catalogue = self.plan.configuration.catalogue
        images = {run.name: images_of(run, catalogue.dataset(run.dataset)) for run in runs}
        self.finished = self._finished(runs, images)
        return [self._of_run(run, images[run.name]) for run in runs]

    def preparations(self, runs: Sequence[Run]) -> list[JobCost]:
        """Return one job per prepared dataset that the runs need. An existing prepared dataset costs nothing."""
        catalogue = self.plan.configuration.catalogue
        found: dict[str, JobCost] = {}
        for run in runs:
            if run.data.path not in found:
                dataset = catalogue.dataset(run.dataset)
                images = images_of(run, dataset)
                count = None if images.train is None else images.train + (images.test or 0)
                workload = preparation_workload(run, dataset)
                if (Path(run.data.path) / MANIFEST).is_file():
                    found[run.data.path] = JobCost(workload, Span(), done=True)
                else:
                    found[run.data.path] = self._job(workload, count, False, run.dataset)
        return list(found.values())

    def _of_run(self, run: Run, images: Images) -> RunEstimate:
        folder = self.plan.folder_of(run)
        state = run_state(run, folder).state if folder.exists() else "missing"
        done, trained = state in ("ok", "failed"), state in ("ok", "failed", "trained")
        return RunEstimate(run, (self._training(run, images, trained), self._scoring(run, images, done)), done)

    def _training(self, run: Run, images: Images, done: bool) -> JobCost:
        workload = training_workload(run, images)
        rate, finished = self.throughput.find(workload), self.finished.training.get(workload.key)
        steps = steps_of(run, images, rate.scales if rate else 1)
        if finished:
            return _corrected(run, workload, steps, done, finished)
        job = self._job(workload, steps, done, run.dataset)
        scoring = self.throughput.find(scoring_workload(run, images))
        if job.span is None or scoring is None or scoring.seconds is None:
            return job
        return replace(job, span=job.span + _span(scoring).times(selection_images(run)))

    def _scoring(self, run: Run, images: Images, done: bool) -> JobCost:
        workload = scoring_workload(run, images)
        job = self._job(workload, scored_images(run, images), done, run.dataset)
        finished = self.finished.scoring.get(workload.key)
        return replace(job, span=Span.of_values(finished), missing="") if finished else job

    def _job(self, workload: Workload, count: int | None, done: bool, dataset: str) -> JobCost:
        rate = self.throughput.find(workload)
        if rate is None or rate.seconds is None:
            return JobCost(workload, None, done, missing=NOT_MEASURED if rate is None else rate.note)
        if count is None:
            reason = f"the number of images of {dataset} is unknown until it is prepared"
            return JobCost(workload, None, done, missing=reason)
        energy = None if rate.energy_joules is None else rate.energy_joules * count
        return JobCost(workload, _span(rate).times(count, rate.fixed_seconds), done, rate.peak_memory_bytes, energy)

    def _finished(self, runs: Sequence[Run], images: Mapping[str, Images]) -> FinishedRuns:
        found = FinishedRuns()
        for run in runs:
            folder = self.plan.folder_of(run)
            if not (folder / META).is_file():
                continue
            try:
                model = read_trained(folder / META)
            except InputError:
                continue  # `slim-bench status` reports a damaged record
            training = model.training
            if model.status != "ok" or not training or not training.seconds:
                continue
            if self._is_on_device(training.device):
                key = training_workload(run, images[run.name]).key
                found.training.setdefault(key, []).append((run.dataset, training))
                if seconds := scoring_job_seconds(Path(), run.scale, run.name):
                    found.scoring.setdefault(scoring_workload(run, images[run.name]).key, []).append(seconds)
        return found

    def _is_on_device(self, name: str | None) -> bool:
        """Return whether `name`, the device in the record of a run, is the device of this estimate.

        A record contains the model name of a GPU, but only `cpu` for a CPU.
        """
        return self._is_this_cpu if name == "cpu" else slug(name or "") == self.throughput.device


def _corrected(
    run: Run, workload: Workload, steps: int | None, done: bool, finished: Sequence[tuple[str, Training]]
) -> JobCost:
    """Return the cost of training a run, computed from finished runs of the same workload.

    If some of these runs use the dataset of this run, only those runs are used. One-shot images differ in their number
    of pyramid scales, so the total time of a run is used. For other tasks, the time of a step is used.
    """
    same = [training for dataset, training in finished if dataset == run.dataset]
    records = same or [training for _, training in finished]
    shares = [steps / r.steps if steps and r.steps and run.task != "oneshot" else 1.0 for r in records]
    seconds = [(r.seconds or 0.0) * share for r, share in zip(records, shares, strict=True)]
    energies = [r.energy_joules * share for r, share in zip(records, shares, strict=True) if r.energy_joules]
    peaks = [r.peak_memory_bytes for r in records if r.peak_memory_bytes]
    energy = statistics.mean(energies) if energies else None
    return JobCost(workload, Span.of_values(seconds), done, max(peaks, default=None), energy)


def _span(rate: Rate) -> Span:
    seconds = rate.seconds or 0.0
    return Span(seconds, seconds if rate.seconds_low is None else rate.seconds_low, rate.seconds_high or seconds)


def total_of(estimates: Iterable[RunEstimate]) -> Total:
    """Return the total cost of several runs."""
    total = Total()
    for estimate in estimates:
        total.add(estimate.jobs, estimate.done)
    return total


def device_hours(total: Total) -> tuple[str, str]:
    """Return the device-hours of a total and their range as text. `>` means that the cost of some jobs is unknown."""
    if total.unknown == total.jobs:
        return "unknown", ""
    least = "> " if total.unknown else ""
    return f"{least}{hours(total.span.seconds)}", f"{hours(total.span.low)} to {hours(total.span.high)}"


def hours(seconds: float) -> str:
    """Return a time in hours as text, with three significant digits below 100 hours and as a whole number above."""
    value = seconds / 3600
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def wall_seconds(lengths: Iterable[float], devices: int) -> float:
    """Return the time until all jobs have ended, if each of `devices` starts the longest remaining job when it is free.

    This time may exceed the sum of the lengths divided by `devices`, because jobs of unequal length do not divide
    evenly. It is never below the length of the longest job.
    """
    free = [0.0] * devices
    for length in sorted(lengths, reverse=True):
        heapq.heapreplace(free, free[0] + length)
    return max(free)
