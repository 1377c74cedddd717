"""What several commands share: adding one with its help, and the options for the user's own images."""

import argparse
from collections.abc import Callable
from typing import Any

import yaml

from bench.errors import InputError

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
        folders[name] = _flow(given, value) if value.startswith("{") else {"path": value}
    return {"folders": folders} if folders else {}


def _flow(given: str, value: str) -> Any:
    """What stands in braces, as YAML reads it."""
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"--folder {given}: not YAML ({' '.join(str(error).split())})") from None
