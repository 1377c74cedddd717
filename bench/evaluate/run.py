"""Scores a finished run.

`evaluate_run` writes one file per planned metric and set of weights to the scores folder. For a failed run, the
function writes scores with the status `failed` and the reason. The command then exits with code 0, so that other runs
continue.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.card import CARD, is_model_card
from bench.data.datasets import check_content, read_manifest
from bench.errors import InputError, RunFailedError
from bench.evaluate.classification import evaluate_classification
from bench.evaluate.fewshot import evaluate_fewshot
from bench.evaluate.oneshot import evaluate_oneshot
from bench.evaluate.scored_card import scored_card
from bench.evaluate.writer import ScoreFolder, check_scores, is_own_folder
from bench.export import META, read_meta
from bench.files import write_text
from bench.frozen import accepted_hashes
from bench.metrics.catalogue import check_metrics
from bench.ownership import read_text_or_empty
from bench.run import Run
from bench.runtime.device import open_device
from bench.score import Score
from bench.training_record import read_trained

TASKS: dict[str, Callable[[Run, Path, ScoreFolder], None]] = {
    "fewshot": evaluate_fewshot,
    "oneshot": evaluate_oneshot,
    "classification": evaluate_classification,
}


def evaluate_run(run: Run, run_dir: Path, out: Path, overwrite: bool = False) -> None:
    """Score the export in `run_dir` and write the scores to `out`. `overwrite`: replace scores of another run."""
    run_dir, out = Path(run_dir), Path(out)
    check_metrics(run.evaluation.metrics, run.task, run.name, run.evaluation.n_fake)
    meta = read_meta(run_dir)
    read_trained(run_dir / META)  # report a damaged record before any computation
    if meta.get("run_sha256") not in (None, *accepted_hashes(run.model_dump(mode="json"), run_dir)):
        raise InputError(
            f"{run_dir / META}: this export does not match run.json of {run.name}, "
            "because run.json changed after training or an earlier version wrote the export; "
            "`slim-bench train` retrains the run and keeps this export as superseded"
        )
    check_scores(run, run_dir, out, overwrite)
    device = open_device(run.compute)
    scores = ScoreFolder(run, meta, run_dir, out, device)
    if meta["status"] != "ok":
        scores.fail(meta.get("reason") or "the run failed")
    else:
        licence = _check_data(run, meta, run_dir)
        try:
            TASKS[run.task](run, run_dir, scores)
        except RunFailedError as error:
            scores.fail(str(error))
        if is_own_folder(run_dir, out):
            _write_card(run, meta, run_dir, licence, scores.scores)
    scores.finish()


def _write_card(run: Run, meta: dict[str, Any], run_dir: Path, licence: str, scores: list[Score]) -> None:
    """Add the scores to the model card, unless the user has edited or removed it."""
    path = run_dir / CARD
    if path.is_file() and is_model_card(read_text_or_empty(path)):
        write_text(path, scored_card(run, meta, licence, scores))


def _check_data(run: Run, meta: dict[str, Any], run_dir: Path) -> str:
    """Raise InputError if the prepared dataset differs from the dataset that the export was trained on.

    Returns the licence of the dataset.
    """
    folder = run.data_folder
    manifest, trained = read_manifest(folder), meta.get("data_sha256")
    if trained not in (None, manifest.sha256):
        raise InputError(
            f"{folder}: the data have sha256 {manifest.sha256}, but the export {run_dir / META} "
            f"was trained on {trained}; prepare the same data again, or retrain the run"
        )
    check_content(folder, manifest)
    return manifest.licence
