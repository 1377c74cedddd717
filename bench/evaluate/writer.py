"""Writes measurements as score files, with metadata of the run and the machine.

Only scores of the evaluated run are replaced or removed. In the run's own scores folder, these are the scores with the
name of the run. In any other folder, the run hash must match too.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from bench.errors import InputError
from bench.evaluate.attention import ATTENTION
from bench.evaluate.measurement import Measurement, failed_score
from bench.input_hashes import COMPLETE, is_complete_mark, write_complete
from bench.metrics.catalogue import METRICS
from bench.ownership import is_attention, is_image_grid, is_png, is_score, is_score_of, move_if_foreign, refuse_foreign
from bench.provenance import provenance
from bench.registry import network_modules
from bench.run import Run
from bench.runtime.device import device_name
from bench.runtime.memory import peak_memory_bytes
from bench.score import Score, score_path, write_score

SCORED_WEIGHTS = ("last", "best", "untrained", "control-white", "control-halves", "control-bicubic", "control-linear")
NEIGHBOURS = "neighbours.png"
REMEDY = "move it away, or give another --out"


def check_scores(run: Run, run_dir: Path, out: Path, overwrite: bool) -> None:
    """Check or move aside files in `out` that have the names of the scores of `run`.

    Files that are not scores of `run` are moved aside in the run's own scores folder, and raise InputError elsewhere.
    `overwrite`: replace the scores of another run, but no other files.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, but a folder of scores must be created there; give another --out")
    own = is_own_folder(run_dir, out)
    metrics = {*run.evaluation.metrics, *METRICS} if own else run.evaluation.metrics
    paths = [score_path(out, metric, kind) for metric in metrics for kind in SCORED_WEIGHTS]
    unmarked = any(path.exists() for path in paths)  # an earlier version did not mark its image grids
    is_neighbours = is_png if unmarked else is_image_grid
    if own:
        for path in paths:
            move_if_foreign(path, is_score if overwrite else lambda path: is_score_of(path, run.name, None))
        move_if_foreign(out / NEIGHBOURS, is_neighbours)
        move_if_foreign(out / ATTENTION, is_attention)
        move_if_foreign(out / COMPLETE, is_complete_mark)
        return
    for path in paths:
        refuse_foreign(path, is_score, REMEDY)
        if path.exists() and not overwrite and not is_score_of(path, run.name, run.hash):
            raise InputError(f"{path}: is a score of another run; --overwrite replaces it, or give another --out")
    refuse_foreign(out / COMPLETE, is_complete_mark, REMEDY)
    if run.task in ("fewshot", "oneshot"):
        refuse_foreign(out / ATTENTION, is_attention, REMEDY)
    if run.task == "fewshot":
        refuse_foreign(out / NEIGHBOURS, is_neighbours, REMEDY)


def is_own_folder(run_dir: Path, out: Path) -> bool:
    return out.resolve() == (run_dir / "scores").resolve()


class ScoreFolder:
    """Writer of the scores of one run. `finish` removes outdated scores of earlier evaluations."""

    def __init__(self, run: Run, meta: dict[str, Any], run_dir: Path, out: Path, device: torch.device):
        self.run, self.meta, self.out, self.device = run, meta, Path(out), device
        self._sha256 = None if is_own_folder(run_dir, self.out) else run.hash  # None: scores of any training of the run
        self.training = meta.get("training") or {}
        self.written: set[Path] = set()
        self.scores: list[Score] = []
        self._provenance = provenance("bench.evaluate.run", *sorted(network_modules(run.model.name)))

    def is_planned(self, *metrics: str) -> bool:
        return any(metric in self.run.evaluation.metrics for metric in metrics)

    def add(self, measurement: Measurement, weights: str = "last", model_sha256: str | None = None) -> None:
        """Write a score if its metric is planned. `model_sha256`: hash of the scored weights; None for controls."""
        if not self.is_planned(measurement.metric):
            return
        if weights == "last":
            model_sha256 = self.meta.get("model_sha256")
        self._write(measurement.score(weights=weights, model_sha256=model_sha256, **self._common()))

    def fail(self, reason: str, metrics: Collection[str] | None = None) -> None:
        """Write a failed score with `reason` for each planned metric (in `metrics`, if given) that has no score yet."""
        for metric in self.run.evaluation.metrics:
            if metrics is not None and metric not in metrics:
                continue
            if score_path(self.out, metric) in self.written:
                continue
            self._write(failed_score(metric, reason, **self._common()))

    def finish(self) -> None:
        """Remove scores that are not part of this evaluation, then record that the evaluation is complete."""
        self.fail("the evaluation of this task does not compute this metric")
        for path in self.out.glob("*.json"):
            if path not in self.written and path.is_file() and is_score_of(path, self.run.name, self._sha256):
                path.unlink()
        write_complete(self.out, self.run, self.meta, self.written)

    def _write(self, score: Score) -> None:
        self.written.add(write_score(self.out, score))
        self.scores.append(score)

    def _common(self) -> dict[str, Any]:
        return {
            "seed": self.run.seed,
            "run": self.run.name,
            "run_sha256": self.run.hash,
            "data_sha256": self.meta.get("data_sha256"),
            "export_sha256": self.meta.get("model_sha256"),
            "device": device_name(self.device),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "precision": "float32",
            "compile": False,
            "training_precision": self.run.compute.precision,
            "training_compile": self.run.compute.compile,
            "training_rollbacks": len(self.training.get("rollbacks", ())),
            "training_events": tuple(self.training.get("events", ())),
            "training_micro_batch": self.training.get("micro_batch"),
            **self._provenance,
        }
