"""Commands train and evaluate: run one job, described by run.json."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.common import add_command, add_unpacked_limit, check_suffix, run_file, user_path
from bench.errors import InputError
from bench.paths import lock_path, state_folder
from bench.run import Run, read_job
from bench.runtime.environment import check_threads
from bench.runtime.leases import leased_device
from bench.runtime.locks import hold_lock
from bench.schema import whole_number

if TYPE_CHECKING:
    from bench.score import Score


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "train",
        train,
        "train a run, resuming from the last checkpoint if there is one",
        "Reads run.json and writes model.safetensors, history.csv, samples/ and, last, model.json. After an\n"
        "interruption (SIGTERM, SIGUSR1, kill), the same command resumes from the last checkpoint. To train one\n"
        "classifier on several GPUs, use torchrun --nproc-per-node N -m -- bench.cli train --run RUN.",
    )
    parser.add_argument(
        "--run", required=True, type=user_path, help="run.json (see `slim-bench freeze`), or its folder"
    )
    parser.add_argument("--out", type=user_path, help="output folder (default: the folder of run.json)")
    parser.add_argument("--state", type=user_path, help="checkpoint folder (default: results/SCALE/state/...)")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="retrain a finished run; the earlier results are kept as a superseded run",
    )
    parser = add_command(
        commands,
        "evaluate",
        evaluate,
        "score a finished run, or any folder of images against a reference folder",
        "--run computes every metric listed in run.json, and writes one file per metric with its protocol id to\n"
        "scores/. --samples and --reference compute Fréchet distance, KID and other metrics of two sets of images. An\n"
        ".npz file contains images as arr_0, uint8 [N, H, W, 3]. A reference can also be an .npz file with mu and\n"
        "sigma of Inception features, as pytorch-fid and clean-fid write it. Scoring resumes after an interruption.",
    )
    parser.add_argument("--run", type=user_path, help="run.json of a trained run, or its folder")
    parser.add_argument("--samples", type=user_path, metavar="PATH", help="generated images: a folder or an .npz file")
    parser.add_argument(
        "--reference",
        type=user_path,
        metavar="PATH",
        help="real images: a folder or .npz file, or .npz statistics",
    )
    parser.add_argument(
        "--background",
        metavar="R,G,B",
        help="with --samples: background colour of transparent pixels (default: 255,255,255)",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        help="with --samples: metrics to compute (default: all metrics whose weights are on this machine)",
    )
    parser.add_argument(
        "--save-statistics",
        type=user_path,
        metavar="FILE.npz",
        help="with --samples: write mu and sigma of the reference's Inception features, as clean-fid defines them",
    )
    add_unpacked_limit(parser)
    parser.add_argument("--json", action="store_true", help="with --samples: print the scores as one JSON document")
    parser.add_argument(
        "--out",
        type=user_path,
        help="with --run: folder for the scores (default: scores/ of the run); "
        "with --samples: JSON file for the scores (default: only print them)",
    )
    parser.add_argument("--overwrite", action="store_true", help="with --run: replace scores of another run in --out")


def train(arguments: argparse.Namespace) -> None:
    file = run_file(arguments.run)
    run = read_job(file)
    out = arguments.out or file.parent
    state = arguments.state or state_folder(out)
    with _run_lock(run, out), leased_device():
        if not arguments.overwrite and _is_finished(run, out):
            return
        _limit_threads(run)
        from bench.train import train

        train(run, out, state, arguments.overwrite)


def evaluate(arguments: argparse.Namespace) -> None:
    if arguments.run is not None and arguments.samples is None and arguments.reference is None:
        _evaluate_run(arguments)
    elif arguments.run is None and arguments.samples is not None and arguments.reference is not None:
        _evaluate_folders(arguments)
    else:
        raise InputError("evaluate: pass either --run, or both --samples and --reference")


def _colour(given: str | None) -> tuple[int, int, int]:
    """Return red, green and blue of `--background`, by default white."""
    match [whole_number(part.strip()) for part in (given or "255,255,255").split(",")]:
        case [int(red), int(green), int(blue)] if max(red, green, blue) <= 255:
            return red, green, blue
    raise InputError(f"--background {given}: expected three numbers from 0 to 255, such as 255,255,255")


def _evaluate_run(arguments: argparse.Namespace) -> None:
    for option in ("--metrics", "--json", "--save-statistics", "--max-unpacked-gb"):
        if getattr(arguments, option.removeprefix("--").replace("-", "_")) not in (None, False):
            raise InputError(f"{option}: valid only with --samples; run.json describes the scoring of a run")
    if arguments.background is not None:
        raise InputError("--background: valid only with --samples; a run uses the background of its dataset")
    file = run_file(arguments.run)
    run = read_job(file)
    started = time.monotonic()
    print(f"[{run.name}] scoring", file=sys.stderr, flush=True)
    with leased_device():
        _limit_threads(run)
        from bench.evaluate import evaluate_run

        evaluate_run(run, file.parent, arguments.out or file.parent / "scores", arguments.overwrite)
    print(f"[{run.name}] scored in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _evaluate_folders(arguments: argparse.Namespace) -> None:
    from bench.files import write_json
    from bench.metrics.reference_statistics import is_own_statistics
    from bench.metrics.weights import folder_metrics
    from bench.ownership import is_score_list, refuse_foreign

    if arguments.overwrite:
        raise InputError(
            "--overwrite: valid only with --run; for --samples use a new --out, or delete the existing file"
        )
    if arguments.out is not None:
        refuse_foreign(arguments.out, is_score_list, "give another --out")
        check_suffix(arguments.out, ".json")
    statistics = arguments.save_statistics
    if statistics is not None:
        refuse_foreign(statistics, is_own_statistics, "give another --save-statistics")
        check_suffix(statistics, ".npz", "--save-statistics")
    limit = arguments.max_unpacked_gb
    if limit is not None and not 0 < limit <= 1_000_000:
        raise InputError(f"--max-unpacked-gb {limit}: expected a number above 0 and up to 1,000,000")
    background = _colour(arguments.background)
    metrics = None if arguments.metrics is None else folder_metrics(arguments.metrics)
    with leased_device():
        from bench.evaluate import evaluate_folders

        scores = evaluate_folders(
            arguments.samples,
            arguments.reference,
            background,
            metrics=metrics,
            statistics=statistics,
            max_unpacked_gb=limit,
        )
    document = [score.model_dump(mode="json") for score in scores]
    if arguments.json:
        print(json.dumps(document, indent=1, allow_nan=False))
    else:
        _print_scores(scores)
    if arguments.out is not None:
        write_json(arguments.out, document)


def _print_scores(scores: Sequence["Score"]) -> None:
    """Print one line per score with its value and protocol id."""
    for score in scores:
        if score.value is None:
            print(f"{score.metric:<22} FAILED: {score.reason}")
            continue
        error = "" if score.standard_error is None else f" ± {score.standard_error:.4g}"
        print(f"{score.metric:<22} {score.value:.6g}{error} {score.unit}  ({score.protocol})")


@contextmanager
def _run_lock(run: Run, out: Path) -> Iterator[None]:
    """Lock the run, so that other processes wait.

    A job can outlive a workflow that ended with kill -9, and a new workflow then starts the same job again.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    with hold_lock(lock_path(out), f"[{run.name}] another process is training this run; waiting for it"):
        yield


def _is_finished(run: Run, out: Path) -> bool:
    """Return whether the run has finished, without importing torch."""
    from bench.data.manifest import read_manifest
    from bench.train.loop.record import restore_record

    try:
        data_sha256 = read_manifest(run.data_folder).sha256
    except InputError:  # missing data are not a reason to retrain
        data_sha256 = None
    return restore_record(run, out, data_sha256)


def _limit_threads(run: Run) -> None:
    """Set the thread count before importing torch, which creates its thread pools once."""
    check_threads(run.compute.threads, f"{run.name}: compute.threads")
    if run.compute.threads is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(run.compute.threads)
