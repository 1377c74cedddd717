"""Commands sample and classify: inference with trained networks."""

import argparse
from typing import Any

from bench.commands.common import add_command, check_suffix, export_folder, user_path
from bench.errors import InputError


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "sample",
        sample,
        "generate images with a trained generator",
        "Batch norm uses batch statistics without updating its running statistics, so equal seeds give equal images.",
    )
    parser.add_argument("--model", required=True, type=user_path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("-n", type=int, default=64, help="number of images (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the latents (default: 0)")
    parser.add_argument("--out", required=True, type=user_path, help="PNG file for the image grid")
    parser = add_command(commands, "classify", classify, "print the most likely classes of images")
    parser.add_argument("--model", required=True, type=user_path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("images", nargs="+", type=user_path, help="image files to classify")


def sample(arguments: argparse.Namespace) -> None:
    from bench.ownership import is_image_grid, refuse_foreign

    refuse_foreign(arguments.out, is_image_grid, "give another --out")
    check_suffix(arguments.out, ".png")
    from bench.sample import sample

    sample(export_folder(arguments.model), arguments.n, arguments.seed, arguments.out)
    print(arguments.out)


def classify(arguments: argparse.Namespace) -> None:
    for path in arguments.images:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; pass its image files, {path}/*")
    from bench.sample import classify

    classify(export_folder(arguments.model), arguments.images)
