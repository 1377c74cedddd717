"""sample, classify: using what was trained."""

import argparse
from typing import Any

from bench.commands.common import add_command, check_suffix, export_folder, user_path
from bench.errors import InputError


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "sample",
        sample,
        "draw images from a trained generator",
        "Batch norm uses the batch's statistics and changes nothing, so the same seed gives the same images.",
    )
    parser.add_argument("--model", required=True, type=user_path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("-n", type=int, default=64, help="how many images (default: 64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, type=user_path, help="a PNG with all of them in a grid")
    parser = add_command(commands, "classify", classify, "print the likeliest classes of images")
    parser.add_argument("--model", required=True, type=user_path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("images", nargs="+", type=user_path)


def sample(arguments: argparse.Namespace) -> None:
    from bench.ownership import is_picture, refuse_foreign

    refuse_foreign(arguments.out, is_picture, "give another --out")
    check_suffix(arguments.out, ".png")
    from bench.sample import sample

    sample(export_folder(arguments.model), arguments.n, arguments.seed, arguments.out)
    print(arguments.out)


def classify(arguments: argparse.Namespace) -> None:
    for path in arguments.images:
        if path.is_dir():
            raise InputError(f"{path}: Is a directory; name its images, {path}/*")
    from bench.sample import classify

    classify(export_folder(arguments.model), arguments.images)
