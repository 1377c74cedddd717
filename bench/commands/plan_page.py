"""Text of `slim-bench plan SUITE`: runs, cost per task and claim, wall time, data, and jobs of unknown cost."""

import os
from collections.abc import Iterable, Sequence
from textwrap import wrap

from bench.claims import ReportSettings, load_settings, target_of
from bench.data.states import HERE, MANUAL, TOKEN, TRUST
from bench.errors import InputError, readable_size
from bench.needs import Need, needs_of, to_download, to_write
from bench.plan import Plan
from bench.plan_cost import (
    NOT_MEASURED,
    CostEstimator,
    JobCost,
    RunEstimate,
    Total,
    device_hours,
    hours,
    total_of,
    wall_seconds,
)
from bench.run import Run
from bench.runtime.leases import visible_devices
from bench.throughput import local_device

WIDTH = 120
REMEDIES = {
    TOKEN: "; log in with `hf auth login` or set HF_TOKEN",
    TRUST: "; set data.trust_first_use to true in config/config.yaml",
    MANUAL: "; `slim-bench data show NAME` describes the installation",
}
"""Remedy for a missing dataset, by the state of the dataset."""
HEAD = ("", "runs", "finished", "device-hours", "range", "left", "peak memory", "energy")


def plan_page(plan: Plan, suite: str, runs: Sequence[Run], estimator: CostEstimator, devices: int | None) -> list[str]:
    """Return the lines of the page.

    `devices`: number of devices for the wall time, or None for the number of devices of this machine.
    """
    estimates, preparations = estimator.estimate(runs), estimator.preparations(runs)
    scale, done = runs[0].scale, sum(estimate.done for estimate in estimates)
    lines = [f"{suite}: {len(runs)} runs at scale {scale}, {done} finished"]
    for task in dict.fromkeys(run.task for run in runs):
        lines += _contents(task, [run for run in runs if run.task == task])
    if unmatched := plan.unmatched(suite, scale):
        lines.append(f"not in this suite: {', '.join(unmatched)}")
    jobs = [*preparations, *(job for estimate in estimates for job in estimate.jobs)]
    lines += ["", *_device_lines(estimator, suite, jobs)]
    if any(job.span for job in jobs):
        lines += ["", *_table(_task_rows(estimates, preparations)), *_wall(estimator, jobs, runs, devices)]
    lines += _claims(plan, estimator, runs)
    lines += ["", *_data(needs_of(runs, plan.configuration))]
    return lines


def _contents(task: str, runs: Sequence[Run]) -> list[str]:
    """Return lines that list the experiments, datasets and seeds of a task."""
    experiments = ", ".join(dict.fromkeys(run.experiment for run in runs))
    datasets = ", ".join(dict.fromkeys(run.dataset for run in runs))
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(run.seed for run in runs))
    text = f"{task}: {experiments} on {datasets}; seeds {seeds}"
    return wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _device_lines(estimator: CostEstimator, suite: str, jobs: Sequence[JobCost]) -> list[str]:
    throughput = estimator.throughput
    command = f"slim-bench plan {suite} --measure"
    dates = throughput.dates
    if dates is None and not estimator.finished.count:
        return [f"unknown cost: {throughput.device} has not been measured; run `{command}` on that device"]
    finished = f"{estimator.finished.count} finished runs"
    if dates is None:
        origin = f"from {finished}; `{command}` measures the rest"
    else:
        corrected = f", corrected by {finished}" if estimator.finished.count else ""
        origin = f"measured {' to '.join(dict.fromkeys(dates))} ({throughput.path}){corrected}"
    return [f"cost on {throughput.device}, {origin}", *_missing(jobs, command)]


def _missing(jobs: Iterable[JobCost], command: str) -> list[str]:
    """Return a message per task, part and reason that names the workloads of unknown cost."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for job in jobs:
        if job.span is None:
            workload = job.workload
            name = f"{workload.name} at {workload.image_size} px" if workload.image_size else workload.name
            groups.setdefault((workload.part, workload.task, job.missing), []).append(name)
    lines = []
    for (part, task, reason), names in groups.items():
        remedy = f"; run `{command}`" if reason == NOT_MEASURED else ""
        text = f"unknown cost: {part} {task} {', '.join(dict.fromkeys(names))}: {reason}{remedy}"
        lines += wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    return lines


def _task_rows(estimates: Sequence[RunEstimate], preparations: Sequence[JobCost]) -> list[tuple[str, Total]]:
    rows: dict[str, Total] = {}
    total = Total()
    for estimate in estimates:
        rows.setdefault(estimate.run.task, Total()).add(estimate.jobs, estimate.done)
        total.add(estimate.jobs, estimate.done)
    prepared = Total()
    for job in preparations:
        prepared.add([job], job.done)
        total.add_jobs([job])
    return [*rows.items(), ("preparation", prepared), ("total", total)]


def _table(rows: Iterable[tuple[str, Total]], head: Sequence[str] = HEAD) -> list[str]:
    cells = [list(head), *(_cells(name, total) for name, total in rows)]
    used = [column for column in range(len(head)) if column == 0 or any(row[column] for row in cells[1:])]
    widths = {column: max(len(row[column]) for row in cells) for column in used}
    lines = []
    for row in cells:
        first, *others = used
        text = [row[first].ljust(widths[first]), *(row[column].rjust(widths[column]) for column in others)]
        lines.append("  ".join(text).rstrip())
    return lines


def _cells(name: str, total: Total) -> list[str]:
    text, spread = device_hours(total)
    left = f"{'> ' if total.unknown else ''}{hours(total.left.seconds)}" if spread else ""
    peak = "" if total.peak_memory_bytes is None else readable_size(total.peak_memory_bytes)
    energy = "" if total.energy_joules is None else f"{total.energy_joules / 3.6e6:.3g} kWh"
    return [name, str(total.count), str(total.done), text, spread, left, peak, energy]


def _wall(estimator: CostEstimator, jobs: Sequence[JobCost], runs: Sequence[Run], devices: int | None) -> list[str]:
    """Return a line with the time until the unfinished jobs have ended, on one device and on several devices."""
    lengths = [job.span.seconds for job in jobs if job.span is not None and not job.done]
    if not lengths:
        return ["all jobs of known cost are finished"]
    is_cpu = estimator.throughput.device.startswith("cpu-")
    count = devices or _local_device_count(estimator, runs)
    least = "at least " if any(job.span is None for job in jobs) else ""
    noun, after = ("job", " at a time") if is_cpu else ("device", "")
    texts = [
        f"{least}{duration(wall_seconds(lengths, n))} with {n} {noun}{'s' if n > 1 else ''}{after}"
        for n in dict.fromkeys((1, count))
    ]
    return [f"wall time of the unfinished jobs: {', '.join(texts)} (--devices N for another number)"]


def _local_device_count(estimator: CostEstimator, runs: Sequence[Run]) -> int:
    """Return how many jobs this machine runs at a time: one per GPU, or as many as the CPU cores allow."""
    if estimator.throughput.device != local_device(runs[0].compute.device):
        return 1
    cores = len(os.sched_getaffinity(0))
    return len(visible_devices()) or max(1, cores // (runs[0].compute.threads or cores))


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360000 else f"{seconds / 86400:.0f} days"


def _claims(plan: Plan, estimator: CostEstimator, runs: Sequence[Run]) -> list[str]:
    """Return the cost of each claim that `runs` decide, and the tests that cannot be significant."""
    path = plan.configuration.root / "config/claims.yaml"
    if not path.is_file() or runs[0].scale != (rules := load_settings(path)).verdict_scale:
        return []
    planned, rows = {run.name for run in runs}, []
    for claim in rules.claims:
        try:
            needed = plan.runs(target_of(claim))
        except InputError:  # the chosen part of the suite has no run of this claim
            continue
        if not planned.isdisjoint(run.name for run in needed):
            rows.append((target_of(claim), total_of(estimator.estimate(needed))))
    if not rows:
        return []
    head = ("claim (target)", *HEAD[1:6])
    return ["", *_table(rows, head), *_untestable(plan, rules, planned)]


def _untestable(plan: Plan, rules: ReportSettings, planned: set[str]) -> list[str]:
    """Return the comparisons whose runs are all planned, but whose exact test cannot be significant."""
    from bench.report.compare.claims import insignificant_by_design  # SciPy takes a second to import

    seeds = plan.seeds(rules.verdict_scale)
    pairs = {name.rpartition("/")[0] for name in planned}
    claims = tuple(
        claim.model_copy(update={"comparisons": kept})
        for claim in rules.claims
        if (kept := tuple(c for c in claim.comparisons if {f"{c.slim}/{name}" for name in c.sets} <= pairs))
    )
    sentences = insignificant_by_design(rules.model_copy(update={"claims": claims}), len(seeds))
    return [line for text in sentences for line in wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)]


def _data(needs: Sequence[Need]) -> list[str]:
    """Return the bytes to download and to write, and the missing datasets and weights, by state."""
    parts = []
    for kind in ("dataset", "weights"):
        states = [need.state for need in needs if need.kind == kind]
        parts += [f"{states.count(HERE)} of {len(states)} {kind}{'s' if kind == 'dataset' else ''}"] if states else []
    text = f"data: {' and '.join(parts)} are here; to download: {to_download(needs)}; "
    lines = wrap(f"{text}to write, with prepared arrays: {to_write(needs)}", WIDTH, subsequent_indent="  ")
    for state in dict.fromkeys(need.state for need in needs if need.state != HERE):
        names = ", ".join(need.name for need in needs if need.state == state)
        lines += wrap(
            f"{state}: {names}{REMEDIES.get(state, '')}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    return lines
