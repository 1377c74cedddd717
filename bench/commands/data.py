"""fetch, audit, prepare: a data set's source, checked, and the arrays that training and metrics read."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.commands.common import add_command, add_folder_option, overrides_of, user_path

if TYPE_CHECKING:
    from bench.data.catalogue import UserFolder


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "fetch",
        fetch,
        "bring the source of a data set to data/sources and check it",
        "Shipped data come through DVC from the remote inside the repository, others from their URL, all against a\n"
        "checksum. Where a person has to place files, the error says which and where.",
    )
    parser.add_argument("dataset", help="a data set or weights of config/datasets.yaml, or NAME of --folder")
    parser.add_argument(
        "--accept-sha256",
        metavar="HEX",
        help="for files without a published checksum: the one you trust, or first-seen; kept in data/pins.yaml",
    )
    add_folder_option(parser)
    parser = add_command(
        commands,
        "audit",
        audit,
        "look through a data set or folder and name every fault in it",
        "Damaged files, files that are no images, images below the size, copies: all of them, not only the first.",
    )
    parser.add_argument("dataset", help="a fetched data set, or a folder of images by path")
    parser.add_argument("--size", type=int, help="pixels the images have to reach")
    add_folder_option(parser)
    parser = add_command(
        commands,
        "prepare",
        prepare,
        "decode, resize and hash a fetched data set",
        "Writes data/prepared/DATASET-SIZE/ with manifest.json, whose sha256 every score carries.",
    )
    parser.add_argument("dataset", help="a name from config/datasets.yaml, or NAME of --folder")
    parser.add_argument("--size", default="full", help="pixels, or full for each image's own size (default)")
    parser.add_argument("--out", type=user_path, help="instead of data/prepared/DATASET-SIZE")
    add_folder_option(parser)


def _folders(arguments: argparse.Namespace) -> "dict[str, UserFolder]":
    """The user's own data sets, from config.yaml and the command line."""
    from bench.plan import Plan

    return Plan.load(overrides_of(arguments)).folders


def fetch(arguments: argparse.Namespace) -> None:
    from bench.data.fetch import fetch

    receipt = fetch(arguments.dataset, accept_sha256=arguments.accept_sha256, folders=_folders(arguments))
    print(f"{arguments.dataset}: fetched and checked ({receipt})")


def audit(arguments: argparse.Namespace) -> None:
    from bench.data.audit import audit
    from bench.errors import InputError

    found = audit(arguments.dataset, arguments.size, folders=_folders(arguments))
    print(*found.lines(), sep="\n")
    if not found.ok:
        raise InputError(f"{arguments.dataset}: {len(found.errors)} faults, listed above")


def prepare(arguments: argparse.Namespace) -> None:
    from bench.data.catalogue import prepared_path
    from bench.data.prepare import prepare
    from bench.errors import InputError

    if arguments.size != "full" and not arguments.size.isdecimal():
        raise InputError(f"--size {arguments.size}: a number of pixels, or full")
    size = None if arguments.size == "full" else int(arguments.size)
    out = arguments.out or prepared_path(arguments.dataset, size)
    manifest = prepare(arguments.dataset, size, out, folders=_folders(arguments))
    print(f"{arguments.dataset}: {manifest.n} images in {out}, sha256 {manifest.sha256[:12]}")
