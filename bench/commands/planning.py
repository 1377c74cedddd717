"""Commands plan, status, freeze and schema: list runs, show their state, write run.json, describe the configuration.

They do not import torch.
"""

import argparse
from pathlib import Path
from typing import Any

from bench.claims import load_settings
from bench.commands.common import (
    add_command,
    add_config_option,
    add_folder_option,
    non_empty_path,
    overrides_of,
    user_path,
)
from bench.errors import InputError
from bench.frozen import write_frozen
from bench.ownership import is_run, refuse_foreign
from bench.plan import Plan
from bench.run import Run, write_run
from bench.status import measured_seconds, run_state
from bench.terminal import one_line


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "plan",
        plan,
        "print the runs of a suite, with measured training times",
        "A time is shown only if a run of the same experiment, dataset and scale has finished in results/.\n"
        "Without SUITE, the command lists the suites.",
    )
    _add_suite(parser, "suite to print (default: list all suites)", None)
    parser = add_command(
        commands,
        "status",
        status,
        "print the state of every run of a suite",
        "missing: no files yet; queued: run.json exists; running: training now; stopped: interrupted, resumes from\n"
        "its checkpoint; damaged: a file cannot be read, the workflow recreates it; outdated: the configuration or\n"
        "the version of slim-bench has changed; trained: not scored yet, or a score cannot be read; ok: scored;\n"
        "failed: the command prints the reason.",
    )
    _add_suite(parser, "suite to show (default: demo)", "demo")
    parser = add_command(
        commands,
        "freeze",
        freeze,
        "write run.json, the complete configuration of one run",
        "Resolves and validates the configuration of the run from config/*.yaml. A job reads no other configuration.",
    )
    parser.add_argument("--scale", default="demo", help="tiny, demo, small or paper (default: demo)")
    parser.add_argument("--experiment", required=True, help="a name from config/experiments.yaml")
    parser.add_argument("--dataset", required=True, help="a name from config/datasets.yaml, or NAME of --folder")
    parser.add_argument("--seed", required=True, type=int, help="random seed of the run")
    parser.add_argument(
        "--out", required=True, type=non_empty_path, help="path of run.json, or the folder to write it to"
    )
    add_folder_option(parser)
    add_command(
        commands,
        "schema",
        schema,
        "write the JSON schemas and the configuration reference",
        "Generates config/schemas/*.json and docs/reference/configuration.md from the descriptions in the code, and\n"
        "adds the defaults of new keys to bench/defaults-N.json, from which the hashes of runs are computed.",
    )


def _add_suite(parser: argparse.ArgumentParser, text: str, default: str | None) -> None:
    parser.add_argument("suite", nargs="?", default=default, help=text)
    parser.add_argument("--scale", help="scale (default: that of the suite)")
    add_config_option(parser)
    add_folder_option(parser)


def freeze(arguments: argparse.Namespace) -> None:
    chosen = Plan.load(overrides_of(arguments))
    path = user_path(arguments.out)
    if arguments.out.endswith("/") or path.is_dir() or not path.suffix:
        path /= "run.json"
    refuse_foreign(path, is_run, "give another --out")
    run = chosen.run(arguments.scale, arguments.experiment, arguments.dataset, arguments.seed)
    if path.resolve() == (chosen.folder_of(run) / "run.json").resolve():
        write_frozen(path.parent, run)
    else:
        write_run(path, run)
    print(path)


def plan(arguments: argparse.Namespace) -> None:
    chosen = Plan.load(overrides_of(arguments))
    if arguments.suite is None and arguments.scale is not None:
        raise InputError(
            f"plan --scale {arguments.scale}: a suite is required, for example `slim-bench plan demo --scale ...`"
        )
    if arguments.suite is None:
        for name, suite in sorted(chosen.configuration.suites.items()):
            print(f"{name:<17}{chosen.scale_of(name):<7}{suite.description}")
        return
    runs = chosen.runs(arguments.suite, _scale(chosen, arguments))
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.experiment, run.dataset), []).append(run)
    width = max(len(f"{experiment} on {dataset}") for experiment, dataset in groups)
    known, left = 0.0, 0
    for (experiment, dataset), members in groups.items():
        seconds = measured_seconds(chosen, members[0])
        cost = "no timing yet" if seconds is None else f"{_duration(seconds)} per run, measured"
        seeds = ", ".join(str(run.seed) for run in members)
        print(f"{f'{experiment} on {dataset}':<{width}}  seeds {seeds}  {cost}")
        known += (seconds or 0.0) * len(members)
        left += len(members) if seconds is None else 0
    print(f"{len(runs)} runs at scale {runs[0].scale}")
    rules = load_settings(chosen.configuration.root / "config/claims.yaml")
    if runs[0].scale == rules.verdict_scale:
        from bench.report.compare.claims import insignificant_by_design  # SciPy takes a second to import

        print(*insignificant_by_design(rules, len(chosen.seeds(runs[0].scale))), sep="\n")
    if left < len(runs):
        rest = f"; {left} runs have no timing, so there is no total" if left else ""
        print(f"sequential training time of the {len(runs) - left} measured runs: {_duration(known)}{rest}")


def status(arguments: argparse.Namespace) -> None:
    chosen = Plan.load(overrides_of(arguments))
    runs = chosen.runs(arguments.suite, _scale(chosen, arguments))
    counts: dict[str, int] = {}
    width = max(len(run.name) for run in runs)
    for run in runs:
        progress = run_state(run, chosen.folder_of(run))
        counts[progress.state] = counts.get(progress.state, 0) + 1
        step = "" if progress.step is None else f" at step {progress.step}"
        total = f" of {progress.total}" if step and progress.total else ""
        reason = f": {one_line(progress.reason)}" if progress.reason else ""
        print(f"{run.name:<{width}}  {progress.state}{step}{total}{reason}")
    print(f"{arguments.suite} at scale {runs[0].scale}: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    if "stopped" in counts:
        print("run the workflow again to resume the stopped runs from their checkpoints")


def schema(arguments: argparse.Namespace) -> None:
    from bench.describe import write_descriptions

    if not Path("config/config.yaml").is_file():
        raise InputError("config/config.yaml: no such file; run `slim-bench schema` in the folder of the project")
    for path in write_descriptions(Path(".")):
        print(path)


def _scale(chosen: Plan, arguments: argparse.Namespace) -> str:
    from bench.config import require

    if arguments.scale is None:
        return chosen.scale_of(arguments.suite)
    require(arguments.suite, chosen.configuration.suites, "suite")
    return require(arguments.scale, chosen.configuration.scales, "--scale")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
