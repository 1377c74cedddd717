"""Commands compare and bundle: compare two results, and archive the results of a scale so that they can be cited."""

import argparse
from pathlib import Path
from typing import Any

from bench.commands.common import add_command, check_suffix, user_path
from bench.commands.reporting import add_scale, scale_folder
from bench.errors import InputError


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "compare",
        compare,
        "list the scores that differ between two results by more than noise",
        "A and B are result folders, such as results/demo. B can also be a file of reference results, such as\n"
        "benchmarks/reference/demo.json. Each score is compared over its seeds. The exit code does not depend on the\n"
        "outcome.",
    )
    parser.add_argument("first", type=user_path, metavar="A", help="folder with scores.csv")
    parser.add_argument("second", type=user_path, metavar="B", help="folder with scores.csv, or reference results")
    parser.add_argument("--out", type=user_path, metavar="FILE", help="also write the comparison as an HTML page")
    parser = add_command(
        commands,
        "bundle",
        bundle,
        "archive the report, scores and configuration of a scale, with checksums and an RO-Crate description",
        "Weights and images of single runs are not archived. The report must be up to date. The archive contains\n"
        ".zenodo.json, and `sha256sum -c SHA256SUMS` verifies it after unpacking.",
    )
    add_scale(parser)
    parser.add_argument(
        "--out", type=user_path, metavar="FILE", help="archive to write (default: slim-bench-SCALE.zip)"
    )
    parser.add_argument("--check", type=user_path, metavar="FILE", help="verify this archive instead of writing one")


def compare(arguments: argparse.Namespace) -> None:
    from bench.ownership import refuse_foreign
    from bench.report.compare.changes import agreement_changes, find_changes
    from bench.report.compare.changes_output import is_comparison, print_changes, render_changes
    from bench.report.compare.reference import agreements, read_reference_file

    out = arguments.out
    if out is not None:
        check_suffix(out, ".html")
        out = out.with_suffix(".html")
        refuse_foreign(out, is_comparison, "give another --out")
    first = _scores_of(arguments.first)
    if arguments.second.suffix == ".json":
        changes = agreement_changes(agreements(first, read_reference_file(arguments.second).scores))
    else:
        changes = find_changes(first, _scores_of(arguments.second))
    print_changes(changes)
    if out is not None:
        render_changes(changes, (str(arguments.first), str(arguments.second)), out)
        print(f"page: {out}")


def _scores_of(given: Path) -> Any:
    from bench.report.read.scores import read_scores

    path = given / "scores.csv" if given.is_dir() else given
    if not path.is_file():
        raise InputError(f"{path}: no such file; `slim-bench collect` writes it into results/SCALE")
    return read_scores(path)


def bundle(arguments: argparse.Namespace) -> None:
    from bench.bundle.archive import check_bundle

    if arguments.check is not None:
        if arguments.out is not None:
            raise InputError("--check: verifies an archive and writes none; remove --out")
        print(f"{arguments.check}: {check_bundle(arguments.check)} files, all checksums match")
        return
    _write(arguments)


def _write(arguments: argparse.Namespace) -> None:
    from bench.bundle.archive import write_bundle
    from bench.bundle.metadata import Facts
    from bench.report.read.names import format_bytes
    from bench.report.read.row import TRAINING
    from bench.report.read.scores import read_scores

    folder = scale_folder(arguments)
    out = arguments.out or Path(f"slim-bench-{folder.name}.zip")
    check_suffix(out, ".zip")
    out = out.with_suffix(".zip")
    scores = read_scores(folder / "scores.csv")
    commits = tuple(sorted({row.commit for row in scores if row.commit}))
    computed = sum(row.ok and row.metric != TRAINING for row in scores)
    facts = Facts(folder.name, commits, len(scores.runs), computed)
    count, size = write_bundle(folder, facts, out)
    print(f"{out}: {count} files, {format_bytes(size)}")
    print(f"verify it with `slim-bench bundle --check {out}`")
