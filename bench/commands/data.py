"""Commands fetch, audit and prepare: download and verify a dataset, validate it, and prepare its arrays."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.commands.common import (
    add_command,
    add_folder_option,
    add_source_options,
    add_unpacked_limit,
    check_suffix,
    non_empty_path,
    overrides_of,
    user_path,
)

if TYPE_CHECKING:
    from bench.config import Configuration


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "fetch",
        fetch,
        "download a dataset to data/sources and verify its checksum",
        "Shipped datasets are copied from the DVC remote inside the repository, and others are downloaded from their\n"
        "URL. The checksum of every file is verified. For a file that must be installed manually, the error message\n"
        "names the source and the folder.",
    )
    parser.add_argument("dataset", help="a dataset or weights in config/datasets.yaml, or NAME of --folder")
    parser.add_argument(
        "--accept-sha256",
        metavar="HEX",
        help="record this sha256 in the DVC pointer of a file without a published checksum; first-seen records the "
        "sha256 of the downloaded file",
    )
    add_source_options(parser)
    add_folder_option(parser)
    parser = add_command(
        commands,
        "audit",
        audit,
        "validate a dataset or folder and list every problem",
        "Lists all damaged files, non-image files, images smaller than --size, and duplicates.",
    )
    parser.add_argument("dataset", type=non_empty_path, help="a downloaded dataset, or the path of a folder of images")
    parser.add_argument("--size", default="full", help="minimum size in pixels, or full for any size (default)")
    parser.add_argument(
        "--out",
        type=user_path,
        metavar="FILE.json",
        help="write the result to this file, with images next to it, for the report; problems then cause no error",
    )
    add_unpacked_limit(parser)
    add_folder_option(parser)
    parser = add_command(
        commands,
        "prepare",
        prepare,
        "decode, resize and hash a downloaded dataset",
        "Writes data/prepared/DATASET-SIZE/ with manifest.json. Every score records the sha256 in the manifest.",
    )
    parser.add_argument("dataset", help="a name from config/datasets.yaml, or NAME of --folder")
    parser.add_argument("--size", default="full", help="size in pixels, or full to keep the original sizes (default)")
    parser.add_argument("--out", type=user_path, help="output folder (default: data/prepared/DATASET-SIZE)")
    add_unpacked_limit(parser)
    add_folder_option(parser)


def _configuration(arguments: argparse.Namespace) -> "Configuration":
    """Load config/ with the user's own datasets and the size limit given on the command line."""
    from bench.plan import Plan

    return Plan.load(overrides_of(arguments)).configuration


def fetch(arguments: argparse.Namespace) -> None:
    from bench.data.fetch import fetch

    given = _configuration(arguments)
    options = {"accept_sha256": arguments.accept_sha256, "settings": given.settings.data}
    receipt = fetch(arguments.dataset, given.root, folders=given.folders, **options)
    print(f"{arguments.dataset}: downloaded and verified ({receipt})")


def audit(arguments: argparse.Namespace) -> None:
    from bench.errors import InputError

    given, size = _configuration(arguments), _image_size(arguments.size)
    limit = given.settings.max_unpacked_gb
    if arguments.out is not None:
        from bench.data.audit_job import record_audit

        check_suffix(arguments.out, ".json")
        recorded = record_audit(
            arguments.dataset, size, arguments.out, given.root, folders=given.folders, max_unpacked_gb=limit
        )
        if recorded is not None:
            print(*recorded.lines(), sep="\n")
        print(f"{arguments.dataset}: recorded in {arguments.out}")
        return
    from bench.data.audit import audit

    found = audit(arguments.dataset, size, given.root, folders=given.folders, max_unpacked_gb=limit)
    print(*found.lines(), sep="\n")
    if not found.ok:
        raise InputError(f"{arguments.dataset}: {len(found.errors)} problems, listed above")


def _image_size(given: str) -> int | None:
    """Return the size in pixels, or None for `full`."""
    from bench.errors import InputError
    from bench.schema import whole_number

    size = whole_number(given)
    if size is None and given != "full":
        raise InputError(f"--size {given[:20]}: expected a number of pixels, or full")
    return size


def prepare(arguments: argparse.Namespace) -> None:
    from bench.data.catalogue import prepared_path
    from bench.data.prepare import prepare

    size = _image_size(arguments.size)
    out = arguments.out or prepared_path(arguments.dataset, size)
    given = _configuration(arguments)
    limit = given.settings.max_unpacked_gb
    manifest = prepare(arguments.dataset, size, out, given.root, folders=given.folders, max_unpacked_gb=limit)
    print(f"{arguments.dataset}: {manifest.n} images in {out}, sha256 {manifest.sha256[:12]}")
