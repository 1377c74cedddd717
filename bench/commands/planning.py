"""Commands plan, status, freeze and schema: list runs, show their state, write run.json, describe the configuration.

The commands do not import torch.
"""

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from bench.commands.common import (
    add_command,
    add_config_option,
    add_folder_option,
    non_empty_path,
    overrides_of,
    user_path,
)
from bench.commands.plan_page import plan_page
from bench.errors import InputError
from bench.frozen import write_frozen
from bench.ownership import is_run, refuse_foreign
from bench.plan import Plan
from bench.plan_cost import CostEstimator
from bench.run import Run, write_run
from bench.schema import whole_number
from bench.status import run_state
from bench.terminal import one_line
from bench.throughput import Throughput, local_device, require_device

MAX_DEVICES = 100_000


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "plan",
        plan,
        "print the runs of a suite, their cost on a device, and the data that they need",
        "A cost is the sum of times that --measure measured on the device, corrected by the runs that finished on the\n"
        "device. Without measurements and finished runs, the cost is unknown. Without SUITE, the command lists the\n"
        "suites.",
    )
    _add_suite(parser, "suite to print (default: list all suites)", None)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="measure this device first: 2 + 5 real steps of every distinct network, size and precision, and the "
        "scoring and preparation of a few images; writes benchmarks/throughput/DEVICE.csv",
    )
    parser.add_argument("--device", help="print the cost on this measured device (default: the device of this machine)")
    parser.add_argument("--devices", type=_count, metavar="N", help="number of devices for the wall time")
    parser = add_command(
        commands,
        "status",
        status,
        "print the state of every run of a suite",
        "missing: no files yet; queued: run.json exists; running: training now; stopped: interrupted, and resumes\n"
        "from its checkpoint; damaged: a file cannot be read, and the workflow recreates it; outdated: the\n"
        "configuration or the version of slim-bench has changed; trained: not scored yet, or a score cannot be read;\n"
        "ok: scored; failed: the command prints the reason.",
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
    parser.add_argument("--scale", help="scale (default: the scale of the suite)")
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
    if arguments.suite is None:
        for option in ("scale", "measure", "device", "devices"):
            value = getattr(arguments, option)
            if value not in (None, False):
                given = shlex.join([f"--{option}", *([] if value is True else [str(value)])])
                raise InputError(f"plan {given}: a suite is required, for example `slim-bench plan demo {given}`")
        width = max(map(len, chosen.suites))
        for name, suite in sorted(chosen.configuration.suites.items()):
            print(f"{name:<{width}}  {chosen.scale_of(name):<5}  {suite.description}")
        return
    runs = chosen.runs(arguments.suite, _scale(chosen, arguments))
    this_device = local_device(runs[0].compute.device)
    if arguments.measure:
        if arguments.device not in (None, this_device):
            raise InputError(
                f"--device {arguments.device}: --measure measures this machine, {this_device}; omit --device"
            )
        _measure(chosen, runs, Throughput(this_device))
    device = this_device if arguments.device is None else require_device(arguments.device)
    estimator = CostEstimator(chosen, Throughput(device))
    print(*plan_page(chosen, arguments.suite, runs, estimator, arguments.devices), sep="\n")


def _measure(chosen: Plan, runs: list[Run], throughput: Throughput) -> None:
    """Measure the workloads of `runs`. SIGTERM stops the process of the current measurement, as Ctrl-C does."""
    from bench.measure.driver import measure
    from bench.measure.probe import probes_of

    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    measure(probes_of(runs, chosen.configuration.catalogue), throughput, lambda line: print(line, file=sys.stderr))
    print(f"written to {throughput.path}", file=sys.stderr)


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


def _count(given: str) -> int:
    number = whole_number(given)
    if not number or number > MAX_DEVICES:
        raise argparse.ArgumentTypeError(f"{given[:20]}: expected a whole number from 1 to {MAX_DEVICES}")
    return number


def _scale(chosen: Plan, arguments: argparse.Namespace) -> str:
    from bench.config import require

    if arguments.scale is None:
        return chosen.scale_of(arguments.suite)
    require(arguments.suite, chosen.configuration.suites, "suite")
    return require(arguments.scale, chosen.configuration.scales, "--scale")
