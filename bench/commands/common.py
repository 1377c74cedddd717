"""Helpers shared by several commands: subcommands, paths, and the options for the user's own images."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import parse_yaml

RUN_FILES = ("run.json", "model.json", "model.safetensors")
"""Names of files that identify a run. Commands accept the path of any of them in place of the run folder."""

Handler = Callable[[argparse.Namespace], None]


def add_command(
    commands: Any, name: str, function: Handler, summary: str, details: str = ""
) -> argparse.ArgumentParser:
    """Add a subcommand whose help consists of `summary` and `details`."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function)
    return parser


def non_empty_path(given: str) -> str:
    """Return a path argument, or raise ArgumentTypeError if it is empty.

    An empty path, for example from an unset shell variable, would mean the current folder.
    """
    if not given.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return given


def user_path(given: str) -> Path:
    """Return a path with `~` expanded, because the shell does not expand it in `--out=~/x`."""
    return Path(non_empty_path(given)).expanduser()


def run_file(given: Path) -> Path:
    """Return the path of run.json, given its folder or another file of the run."""
    folder = given.parent if given.name in RUN_FILES[1:] and not given.is_dir() else given
    if not folder.is_dir():
        return given
    if not (folder / RUN_FILES[0]).is_file():
        raise InputError(f"--run {folder}: is a folder without {RUN_FILES[0]}; create one with `slim-bench freeze`")
    return folder / RUN_FILES[0]


def export_folder(given: Path) -> Path:
    """Return the folder of a finished run, given the folder or one of its files."""
    return given.parent if given.name in RUN_FILES and not given.is_dir() else given


def check_suffix(path: Path, suffix: str, option: str = "--out") -> None:
    """Raise InputError for a suffix other than `suffix`. A name without suffix is valid."""
    if path.suffix.lower() not in ("", suffix):
        raise InputError(f"{option} {path}: the output is a {suffix} file, not {path.suffix}")


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="use your own images in PATH as dataset NAME. PATH determines the task (an image: one-shot; a folder "
        "with train/ and val/: classification; another folder: few-shot), unless you give "
        "NAME={path: PATH, task: fewshot|oneshot|classification}",
    )


def add_config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of config/config.yaml, as for Snakemake: datasets=[NAME,...] experiments=[NAME,...] "
        "tasks=[NAME,...] seeds=[N,...] choose a part of the suite",
    )


def add_unpacked_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-unpacked-gb",
        type=float,
        metavar="GB",
        help="maximum unpacked size of an archive or array file (default: 20 times its packed size, at least 0.5 GB)",
    )


def _settings_of(given: list[str]) -> dict[str, Any]:
    """Return the settings of --config. Raises InputError for text that is not KEY=VALUE, and for a repeated key."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"--config {text}: expected KEY=VALUE")
        if key in found:
            raise InputError(f"--config {key}: occurs twice")
        found[key] = parse_yaml(value, f"--config {text}")
    return found


def add_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-first-use",
        action="store_true",
        default=None,
        help="download files without a published checksum, and pin the checksum of the first download",
    )
    parser.add_argument(
        "--mirror", type=non_empty_path, metavar="FOLDER", help="folder with copies of the files, by name"
    )


def overrides_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the command line as a dict with the structure of config.yaml."""
    folders = {}
    for given in arguments.folder:
        name, equals, value = given.partition("=")
        if not equals or not name or not value:
            raise InputError(f"--folder {given}: expected NAME=PATH")
        folders[name] = parse_yaml(value, f"--folder {given}") if value.startswith("{") else {"path": value}
    overrides: dict[str, Any] = _settings_of(getattr(arguments, "config", []))
    if folders:
        overrides["folders"] = {**(overrides.get("folders") or {}), **folders}
    if getattr(arguments, "max_unpacked_gb", None) is not None:
        overrides["max_unpacked_gb"] = arguments.max_unpacked_gb
    given = {key: getattr(arguments, key, None) for key in ("trust_first_use", "mirror")}
    data = {key: value for key, value in given.items() if value is not None}
    if data:
        overrides["data"] = data
    return overrides
