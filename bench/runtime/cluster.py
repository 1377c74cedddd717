"""Detects whether jobs run on a cluster, and selects the program that reports their states on SLURM.

SLURM has two programs that list the states of jobs, sacct and squeue. If sacct is installed, the executor plugin calls
sacct, and waits indefinitely on a cluster without accounting. The plugin also replaces squeue by sacct if SLURM lists
finished jobs only briefly. This module does not import torch.
"""

import re
import subprocess
from typing import Any

from bench.errors import InputError

PROGRAMS = {
    "sacct": ("sacct", "-X", "--noheader", "--clusters", "all", "--name", "slim-bench"),
    "squeue": ("squeue", "--noheader", "--states=all", "--name", "slim-bench"),
}
CHECKS_PER_MINIMUM_AGE = 3
"""The plugin replaces squeue by sacct if finished jobs are listed for less than this many intervals of its checks."""
MAX_INTERVAL = 180
"""Longest time in seconds between two checks of the plugin."""


def on_cluster(workflow: Any) -> bool:
    """Return whether the jobs of Snakemake's `workflow` run on a cluster.

    In a dry run the executor is unknown, but the number of nodes (`jobs` in a profile) is set only for a cluster.
    """
    if workflow.dryrun:
        return workflow.resource_settings.nodes is not None
    return not workflow.local_exec


def choose_status_command(settings: Any) -> str | None:
    """Make the SLURM executor call a program that responds. Return a message, or None for other executors.

    `settings`: settings of the executor, which this function changes. Raises InputError if no program responds.
    """
    configured = getattr(settings, "status_command", None)
    if configured not in PROGRAMS:
        return None
    problems = {name: _problem(PROGRAMS[name]) for name in PROGRAMS}
    responding = [name for name in (configured, *PROGRAMS) if problems[name] is None]
    if not responding:
        raise InputError(f"SLURM does not respond: {problems['squeue']}; start Snakemake on a login node")
    chosen = settings.status_command = responding[0]
    sentence = f"{chosen} reports the states of SLURM jobs"
    if chosen != configured:
        sentence += f", because {configured} does not respond ({problems[configured]})"
    return sentence if problems["sacct"] is None else sentence + _keep_squeue(settings)


def _keep_squeue(settings: Any) -> str:
    """Make the plugin call squeue instead of sacct, and return a warning if squeue can miss finished jobs."""
    age = _minimum_age()
    if age < CHECKS_PER_MINIMUM_AGE:
        raise InputError(
            f"SLURM lists finished jobs for {age} s only, and sacct does not respond; request a larger MinJobAge"
        )
    interval = min(settings.init_seconds_before_status_checks or age, age // CHECKS_PER_MINIMUM_AGE)
    settings.init_seconds_before_status_checks = interval
    if age > MAX_INTERVAL:
        return ""
    return f"; it may miss jobs, because SLURM lists finished jobs for {age} s only (MinJobAge)"


def _minimum_age() -> int:
    """Return the number of seconds for which SLURM lists finished jobs."""
    text = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _problem(command: tuple[str, ...]) -> str | None:
    """Return why a program of SLURM does not respond, or None if it does."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return "it is not installed"
    except subprocess.TimeoutExpired:
        return "no response within 60 s"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
