"""What several commands share: adding one with its help, and the options for the user's own images."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import parse_yaml

RUN_FILES = ("run.json", "model.json", "model.safetensors")
"""Any of them says which run folder is meant."""

Handler = Callable[[argparse.Namespace], None]


def add_command(
    commands: Any, name: str, function: Handler, summary: str, details: str = ""
) -> argparse.ArgumentParser:
    """A subcommand whose help starts with `summary` and goes on with `details`."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function)
    return parser


def user_path(given: str) -> Path:
    """A path as it was typed: in `--out=~/x` no shell puts in the home folder."""
    return Path(given).expanduser()


def run_file(given: Path) -> Path:
    """run.json, where its folder or another file of the run was named."""
    folder = given.parent if given.name in RUN_FILES[1:] and not given.is_dir() else given
    if not folder.is_dir():
        return given
    if not (folder / RUN_FILES[0]).is_file():
        raise InputError(f"--run {folder}: Is a directory without {RUN_FILES[0]}, which `slim-bench freeze` writes")
    return folder / RUN_FILES[0]


def export_folder(given: Path) -> Path:
    """The folder of a finished run, where one of its files was named."""
    return given.parent if given.name in RUN_FILES and not given.is_dir() else given


def check_suffix(path: Path, suffix: str) -> None:
    """Refuse the name of a file of another kind than is written; a name without suffix is fine."""
    if path.suffix.lower() not in ("", suffix):
        raise InputError(f"--out {path}: a {suffix} file is written, not {path.suffix}")


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="your own images as data set NAME, for the task that their form says (one image: one-shot; train/ and "
        "val/: classification); or NAME={path: PATH, task: fewshot|oneshot|classification}",
    )


def overrides_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings given on the command line, in the form of config.yaml."""
    folders = {}
    for given in arguments.folder:
        name, equals, value = given.partition("=")
        if not equals or not name or not value:
            raise InputError(f"--folder {given}: NAME=PATH is needed")
        folders[name] = parse_yaml(value, f"--folder {given}") if value.startswith("{") else {"path": value}
    return {"folders": folders} if folders else {}
