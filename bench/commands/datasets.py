"""Command data: list, describe, download, verify and pin the datasets of the catalogue, without importing torch."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.common import (
    Handler,
    add_command,
    add_config_option,
    add_folder_option,
    add_source_options,
    overrides_of,
)
from bench.errors import InputError, did_you_mean, readable_size
from bench.terminal import one_line

if TYPE_CHECKING:
    from bench.data.fetch_job import FetchJob
    from bench.plan import Plan

EPILOG = """\
examples:
  slim-bench data list --suite paper       list the datasets of the paper with their states
  slim-bench data fetch --suite paper      download those that need no manual installation
  slim-bench data check                    read all files again and compare them with their recorded checksums
  dvc push -r lab                          copy the recorded files to a remote of your lab
"""


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "data",
        lambda arguments: arguments.action(arguments),
        "list, download, verify and pin the datasets of the catalogue",
        "Every downloaded or installed dataset is recorded in a DVC pointer, data/sources/FILE.dvc, with its hash,\n"
        "size and source. Commit the pointers, so that a commit determines the data that were used.",
    )
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="data_command", metavar="ACTION", required=True)
    listed = _add_action(
        actions,
        "list",
        list_datasets,
        "list the datasets with state, size, source and licence",
        "States: here; fetchable; needs a token (of the Hugging Face Hub); needs trust_first_use (no checksum is\n"
        "published); install manually. Nothing is downloaded or verified.",
    )
    listed.add_argument("--suite", help="list only the datasets of this suite")
    _add_json(listed)
    shown = _add_action(actions, "show", show_dataset, "describe one dataset: sources, checksums, record and licence")
    shown.add_argument("name", metavar="NAME", help="a dataset in config/datasets.yaml, or NAME of --folder")
    _add_json(shown)
    fetched = _add_action(
        actions,
        "fetch",
        fetch_datasets,
        "download datasets, verify their checksums and record them with DVC",
        "Existing datasets are not downloaded again. The command continues after a dataset that cannot be\n"
        "downloaded, lists all such datasets at the end, and then exits with code 2.",
    )
    _add_names(fetched)
    fetched.add_argument("--suite", help="download the datasets of this suite, for example paper")
    checked = _add_action(
        actions,
        "check",
        check_datasets,
        "read all files again and compare them with the catalogue and the DVC pointers",
        "Without NAME, all existing datasets are checked. The exit code is 2 if there is a problem.",
    )
    _add_names(checked)
    _add_json(checked)
    pinned = _add_action(
        actions,
        "pin",
        pin_datasets,
        "record the present files of datasets in their DVC pointers",
        "Without NAME, all existing datasets are recorded. A file that differs from its published checksum or\n"
        "from its record is an error.",
    )
    _add_names(pinned)
    pinned.add_argument(
        "--replace",
        action="store_true",
        help="replace the record of files without a published checksum, if their content has changed",
    )


def _add_action(actions: Any, name: str, action: Handler, summary: str, details: str = "") -> argparse.ArgumentParser:
    parser = add_command(actions, name, lambda arguments: arguments.action(arguments), summary, details)
    parser.set_defaults(action=action)
    add_source_options(parser)
    add_config_option(parser)
    add_folder_option(parser)
    return parser


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="datasets in config/datasets.yaml")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


# ---- list and show ---------------------------------------------------------------------------------------------------


def list_datasets(arguments: argparse.Namespace) -> None:
    from bench.data.states import FETCHABLE, HERE, TOKEN, TRUST, dataset_state, total_bytes

    plan = _plan(arguments)
    names = list(plan.configuration.catalogue.datasets) if arguments.suite is None else suite_datasets(plan, arguments)
    states = [dataset_state(_job(plan, name)) for name in names]
    if arguments.json:
        print(json.dumps([state.as_dict() for state in states], indent=2))
        return
    sizes = ["-" if state.bytes is None else readable_size(state.bytes) for state in states]
    rows = [("NAME", "STATE", "SIZE", "SOURCE", "LICENCE")]
    rows += [(s.name, s.state, size, s.source, s.licence) for s, size in zip(states, sizes, strict=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]))
    counts: dict[str, int] = {}
    for state in states:
        counts[state.state] = counts.get(state.state, 0) + 1
    print(f"{len(states)} datasets: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    present, _ = total_bytes(state for state in states if state.state == HERE)
    known, unknown = total_bytes(state for state in states if state.state in (FETCHABLE, TOKEN, TRUST))
    rest = f", and {unknown} files of unknown size" if unknown else ""
    print(f"{readable_size(present)} here, {readable_size(known)} to download{rest}")


def show_dataset(arguments: argparse.Namespace) -> None:
    from bench.data.descriptions import describe_dataset, description_lines

    plan = _plan(arguments)
    described = describe_dataset(_job(plan, arguments.name))
    if arguments.json:
        print(json.dumps(described, indent=2))
    else:
        print(*map(one_line, description_lines(described)), sep="\n")


# ---- fetch, check and pin --------------------------------------------------------------------------------------------


def fetch_datasets(arguments: argparse.Namespace) -> None:
    from bench.data.fetch import fetch_dataset
    from bench.data.weights import fetch_weights

    plan = _plan(arguments)
    if not arguments.names and arguments.suite is None:
        raise InputError("data fetch: give the names of datasets, or --suite NAME; `slim-bench data list` lists them")
    names = dict.fromkeys([*arguments.names, *(suite_datasets(plan, arguments) if arguments.suite else ())])
    catalogue, settings = plan.configuration.catalogue, plan.configuration.settings.data
    _check_names(plan, names, catalogue.weights)

    def fetch_one(name: str) -> str:
        if name in catalogue.weights:
            return f"here ({fetch_weights(name, settings=settings)})"
        fetched = fetch_dataset(name, catalogue, settings=settings)
        size = sum(path.stat().st_size for path in fetched.files if path.is_file())
        shown = f" ({readable_size(size)})" if size else ""
        return f"here{shown}" if fetched.origin is None else f"fetched from {fetched.origin}{shown}"

    failed = [name for name, problem in _apply_to_each(names, fetch_one) if problem]
    if arguments.suite is not None:
        _print_missing_weights(plan, arguments.suite)
    if failed:
        raise InputError(
            f"data fetch: {len(failed)} of {len(names)} datasets are missing: {', '.join(failed)}; the lines above "
            "state the remedy for each of them"
        )


def _print_missing_weights(plan: "Plan", suite: str) -> None:
    """Print the pretrained weights that the runs of a suite need but that this machine lacks."""
    from bench.needs import needs_of

    missing = [
        need.name for need in needs_of(plan.runs(suite), plan.configuration) if need.kind == "weights" and need.files
    ]
    if missing:
        print(f"pretrained weights that are not here: {', '.join(missing)}; the workflow downloads them, or run")
        print(f"  slim-bench data fetch {' '.join(missing)}")


def check_datasets(arguments: argparse.Namespace) -> None:
    from bench.data.checks import dataset_problems

    plan = _plan(arguments)
    names = _existing_names(plan, arguments)
    found = {}
    for name in names:
        problems = found[name] = dataset_problems(_job(plan, name))
        if not arguments.json:
            print(*(f"{name}: {one_line(line)}" for line in problems or ["ok"]), sep="\n", flush=True)
    if arguments.json:
        print(
            json.dumps([{"name": name, "ok": not lines, "problems": lines} for name, lines in found.items()], indent=2)
        )
    wrong = [name for name, problems in found.items() if problems]
    if wrong:
        raise InputError(f"data check: {len(wrong)} of {len(names)} datasets have problems: {', '.join(wrong)}")
    if not names and not arguments.json:
        print("no datasets here; `slim-bench data fetch NAME` downloads one")


def pin_datasets(arguments: argparse.Namespace) -> None:
    from bench.data.fetch import fetch_dataset
    from bench.data.states import HERE, dataset_state

    plan = _plan(arguments)
    catalogue, settings = plan.configuration.catalogue, plan.configuration.settings.data
    names = _existing_names(plan, arguments)

    def pin_one(name: str) -> str:
        if dataset_state(_job(plan, name)).state != HERE and not arguments.replace:
            raise InputError(f"not here; run `slim-bench data fetch {name}`")
        fetch_dataset(name, catalogue, settings=settings, replaces=arguments.replace, completes=True)
        return "recorded"

    failed = [name for name, problem in _apply_to_each(names, pin_one) if problem]
    if failed:
        raise InputError(f"data pin: {len(failed)} of {len(names)} datasets were not recorded: {', '.join(failed)}")


def _apply_to_each(names: Any, action: Any) -> Iterator[tuple[str, bool]]:
    """Apply `action` to each name, and print its result or problem. Yield the name and whether there was a problem."""
    for index, name in enumerate(names, 1):
        prefix = f"[{index}/{len(names)}] {name}: "
        try:
            print(prefix + one_line(action(name)), flush=True)
        except InputError as error:
            problem = one_line(error).removeprefix(f"{name}: ")
            print(prefix + problem, file=sys.stderr, flush=True)
            yield name, True
        else:
            yield name, False


# ---- names -----------------------------------------------------------------------------------------------------------


def _plan(arguments: argparse.Namespace) -> "Plan":
    from bench.plan import Plan

    return Plan.load(overrides_of(arguments))


def _job(plan: "Plan", name: str) -> "FetchJob":
    from bench.data.fetch_job import FetchJob

    catalogue = plan.configuration.catalogue
    return FetchJob(Path("."), catalogue, name, catalogue.dataset(name), settings=plan.configuration.settings.data)


def suite_datasets(plan: "Plan", arguments: argparse.Namespace) -> list[str]:
    """Return the datasets of the runs of `--suite`."""
    return list(dict.fromkeys(run.dataset for run in plan.runs(arguments.suite)))


def _check_names(plan: "Plan", names: Any, others: Any = ()) -> None:
    """Raise InputError for an unknown name before anything is downloaded."""
    known = [*plan.configuration.catalogue.datasets, *others]
    for name in names:
        if name not in known:
            raise InputError(f"dataset {name!r} is not in config/datasets.yaml{did_you_mean(name, known)}")


def _existing_names(plan: "Plan", arguments: argparse.Namespace) -> list[str]:
    """Return the given names, or, without names, all datasets of the catalogue whose files exist."""
    from bench.data.states import HERE, dataset_state

    if arguments.names:
        _check_names(plan, arguments.names)
        return list(dict.fromkeys(arguments.names))
    datasets = plan.configuration.catalogue.datasets
    return [
        name for name, entry in datasets.items() if not entry.folder and dataset_state(_job(plan, name)).state == HERE
    ]
