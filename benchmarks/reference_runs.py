"""Records the reference results of a scale: python -m benchmarks reference SCALE [--settings NAME NAME NAME ...]

The suite of the scale runs on the CPU once per numerics setting, each time in a separate clone of the last commit in
build/reference/COMMIT/SCALE-SETTING. A setting that has finished is not run again; an interrupted one resumes. The last
setting is left out of the means and tolerances, and is used to check them.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.config import Configuration, require
from bench.errors import InputError
from bench.files import write_json
from bench.metrics.protocol import same_protocol
from bench.paths import RESULTS
from bench.provenance import git_state, processor_name
from bench.report.compare.reference import (
    Agreement,
    HeldOutSetting,
    Key,
    ReferenceResults,
    ReferenceScore,
    agreements,
    comparable_rows,
    reference_path,
)
from bench.report.read.names import metric_of
from bench.report.read.row import Row
from bench.report.read.scores import Scores, read_scores
from bench.terminal import one_line

ROOT = Path(__file__).resolve().parents[1]
CLONES = ROOT / "build/reference"
RANGES = 3
"""Factor of the tolerance. The tolerance is at least this factor times the range of a score over the settings."""
ROUNDING = 1e-6
"""Smallest tolerance relative to the mean, except for counts. Other CPUs and libraries may round differently even if
all settings of one CPU agree."""
ATEN, ONEDNN = "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"
SETTINGS: dict[str, dict[str, str]] = {
    "native": {},
    "default-sse41": {ATEN: "default", ONEDNN: "SSE41"},
    "avx2-avx2": {ATEN: "avx2", ONEDNN: "AVX2"},
    "avx2-sse41": {ATEN: "avx2", ONEDNN: "SSE41"},
    "default-avx2": {ATEN: "default", ONEDNN: "AVX2"},
    "avx512-sse41": {ATEN: "avx512", ONEDNN: "SSE41"},
    "avx512-avx2": {ATEN: "avx512", ONEDNN: "AVX2"},
}
"""Environment variables that select the vector instructions of torch's own loops and of oneDNN's convolutions. The most
different settings are first. The number of threads is not varied, because every run sets it (compute.threads)."""
COUNTS = {"tiny": 6}
"""Number of settings in the reference results of each scale (default: 3). One more setting checks the tolerances."""
EXCLUDED_VARIABLES = (ATEN, ONEDNN, "SLIM_BENCH_CACHE", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Environment variables that the workflow does not inherit. They would change the scores, share features between
settings, or slow down every job."""


@dataclass(frozen=True)
class Recording:
    """Scale, commit and settings to record, in order. The last setting is left out of the reference results."""

    scale: str
    commit: str
    settings: tuple[str, ...]

    def clone(self, setting: str) -> Path:
        return CLONES / self.commit[:12] / f"{self.scale}-{setting}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks reference", description=__doc__)
    parser.add_argument("scale", help="scale to record; the suite of the same name runs")
    parser.add_argument(
        "--settings",
        nargs="+",
        metavar="NAME",
        help=f"settings to run, the last one as the check: {', '.join(SETTINGS)} (default: the first "
        "7 at tiny scale and 4 at other scales that this CPU supports)",
    )
    given = parser.parse_args(arguments)
    try:
        recording = plan_recording(given.scale, given.settings, supported_settings(cpu_flags()))
        tables = {setting: run_setting(recording, setting) for setting in recording.settings}
        reference, check = reference_of(recording, tables)
        path = ROOT / reference_path(recording.scale)
        write_json(path, reference.model_dump(mode="json"))
    except InputError as error:
        print(f"benchmarks: error: {one_line(error)}", file=sys.stderr)
        return 2
    for agreement in check:
        if agreement.state != "within":
            print(f"{agreement.state}: {' '.join(agreement.expected.key)} = {agreement.value}")
    left = reference.left_out
    print(f"{path.relative_to(ROOT)}: {left.within} of {left.scores} scores of {left.name} are within the tolerance")
    return 0


def cpu_flags() -> set[str]:
    """Return the instruction sets of this CPU. The set is empty if the system does not list them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def supported_settings(flags: set[str]) -> list[str]:
    """Return the settings that differ from each other on a CPU with these flags.

    Without AVX-512, `avx2-avx2` is the same as `native`.
    """
    if "avx512f" in flags:
        return list(SETTINGS)
    names = [name for name in SETTINGS if not name.startswith("avx512") and name != "avx2-avx2"]
    return names if "avx2" in flags else ["native"]


def plan_recording(scale: str, given: list[str] | None, supported: list[str]) -> Recording:
    """Return the scale, commit and settings to record.

    Raises InputError for an unknown scale or setting, too few settings, or no git commit.
    """
    require(scale, Configuration.load(ROOT).scales, "scale")
    for name in given or ():
        require(name, SETTINGS, "--settings")
        if name not in supported:
            raise InputError(f"--settings {name}: this CPU does not support it; it supports {', '.join(supported)}")
    names = tuple(dict.fromkeys(given or supported[: COUNTS.get(scale, 3) + 1]))
    if len(names) < 3:
        raise InputError(f"--settings: got {len(names)}, but at least 3 settings are needed, because one is the check")
    commit, dirty = git_state()
    if commit is None:
        raise InputError(f"{ROOT}: not a git repository; reference results name the commit that computed them")
    if dirty:
        print(f"changes that are not committed are not in the reference results of {commit[:12]}", file=sys.stderr)
    return Recording(scale, commit, names)


def run_setting(recording: Recording, setting: str) -> Scores:
    """Return the scores of one setting, after running its unfinished jobs. Raises InputError if its workflow fails."""
    folder = recording.clone(setting)
    table = folder / RESULTS / recording.scale / "scores.csv"
    if not table.exists():
        if not folder.exists():
            _clone(recording.commit, folder)
        print(f"{setting}: {folder.relative_to(ROOT)}", flush=True)
        command = [sys.executable, "-m", "snakemake", recording.scale]
        if subprocess.run(command, cwd=folder, env=job_environment(folder, setting, os.environ)).returncode:
            raise InputError(f"{folder.relative_to(ROOT)}: snakemake failed; run the same command again to resume")
    return read_scores(table)


def job_environment(folder: Path, setting: str, outside: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the workflow.

    It is the environment of this process with the code of the clone, the variables of the setting and no GPU.
    """
    environment = {
        k: v for k, v in outside.items() if k not in EXCLUDED_VARIABLES and not k.startswith(("SNAKEMAKE", "GIT_"))
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment | {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": ""} | SETTINGS[setting]


def _clone(commit: str, folder: Path) -> None:
    """Clone the project at `commit`. The clone is renamed to `folder` last, so an existing `folder` is complete."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for command in (
        ["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(part)],
        ["git", "-C", str(part), "checkout", "--quiet", "--detach", commit],
    ):
        if subprocess.run(command, env=environment).returncode:
            raise InputError(f"{part.relative_to(ROOT)}: git could not clone the project; its message is above")
    part.rename(folder)


def reference_of(recording: Recording, tables: Mapping[str, Scores]) -> tuple[ReferenceResults, list[Agreement]]:
    """Return the reference results, and the comparison of the left-out setting with them."""
    *recorded, left_out = recording.settings
    scores = reference_scores({setting: tables[setting] for setting in recorded})
    check = agreements(tables[left_out], scores)
    reference = ReferenceResults(
        schema_version=1,
        scale=recording.scale,
        commit=recording.commit,
        torch=_one_torch(tables),
        cpu=processor_name(),
        settings={setting: SETTINGS[setting] for setting in recorded},
        left_out=HeldOutSetting(
            name=left_out,
            variables=SETTINGS[left_out],
            within=sum(agreement.state == "within" for agreement in check),
            scores=len(check),
        ),
        scores=scores,
    )
    return reference, check


def reference_scores(tables: Mapping[str, Scores]) -> tuple[ReferenceScore, ...]:
    """Return the mean and tolerance of each score over the settings, sorted by key.

    Raises InputError for a score that a setting lacks.
    """
    rows = {setting: comparable_rows(scores) for setting, scores in tables.items()}
    keys = sorted(set().union(*rows.values()))
    values = {key: [_value(found.get(key), key, setting) for setting, found in rows.items()] for key in keys}
    first = next(iter(rows.values()))
    seeds: dict[tuple[str, ...], list[float]] = {}
    for key in keys:
        seeds.setdefault(_experiment(first[key]), []).append(mean(values[key]))
    expected = []
    for key in keys:
        same_protocol((found[key].protocol for found in rows.values()), " ".join(key))
        over_seeds = seeds[_experiment(first[key])]
        spread = stdev(over_seeds) if len(over_seeds) > 1 else 0.0
        ranges = RANGES * (max(values[key]) - min(values[key]))
        rounding = 0.0 if metric_of(first[key].metric).constant else ROUNDING * abs(mean(values[key]))
        expected.append(_score(first[key], mean(values[key]), max(ranges, spread, rounding)))
    return tuple(expected)


def _value(row: Row | None, key: Key, setting: str) -> float:
    if row is None or not row.ok or row.value is None or not math.isfinite(row.value):
        reason = "not in scores.csv" if row is None else row.reason or row.status
        raise InputError(f"{setting}: {' '.join(key)}: no value ({reason}); delete the clone and record again")
    return row.value


def _experiment(row: Row) -> tuple[str, ...]:
    """Return everything that identifies a score except the seed."""
    return row.experiment, row.dataset, row.metric, row.weights


def _score(row: Row, expected: float, tolerance: float) -> ReferenceScore:
    n: Any = None if row.n is None else int(row.n)
    return ReferenceScore(
        run=row.run,
        metric=row.metric,
        weights=row.weights,
        protocol=row.protocol,
        n=n,
        mean=expected,
        tolerance=tolerance,
    )


def _one_torch(tables: Mapping[str, Scores]) -> str:
    versions = sorted({row.torch for scores in tables.values() for row in scores if row.torch})
    if len(versions) != 1:
        raise InputError(f"the settings ran with torch {' and '.join(versions) or 'of unknown version'}; record again")
    return versions[0]
