"""Reads the costs of all finished, failed, unfinished and superseded runs of a scale.

The scoring time is the run time of the scoring job, which the workflow records in logs/. Without this record, the
scoring time is the sum of the times that the scores state. An unknown cost is None, and is never estimated.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import read_mapping
from bench.job_benchmark import scoring_job_seconds
from bench.metrics.catalogue import METRICS
from bench.paths import META
from bench.report.read.scores import Row, Scores
from bench.training_record import Trained, read_trained

SUPERSEDED = "superseded"
UNTIMED = ("params",)
"""Metrics whose computation takes no measurable time."""


@dataclass(frozen=True)
class RunCost:
    """Cost of one run. `state`: ok, failed, unfinished or superseded. `storage`: size of the run's files in bytes.

    `train_seconds` and `score_seconds` are None if they are unknown. A missing score adds 0 to `score_seconds`.
    """

    name: str
    task: str
    experiment: str
    dataset: str
    state: str
    device: str
    train_seconds: float | None
    score_seconds: float | None
    peak_memory_bytes: float | None
    energy_joules: float | None
    storage: int

    @property
    def is_known(self) -> bool:
        return self.train_seconds is not None and self.score_seconds is not None


def read_costs(scale_dir: Path, scores: Scores) -> list[RunCost]:
    """Return the cost of each run in scores.csv that has begun, then of each superseded run of the scale."""
    times: dict[str, list[tuple[str, str, float | None]]] = {}
    for row in scores.measured:
        if row.ok:
            times.setdefault(row.run, []).append((row.metric, row.weights, row.seconds))
    begun = [row for row in scores.runs if row.seconds is not None or row.reason != "not started"]
    current = [_of_row(scale_dir, row, times.get(row.run, [])) for row in begun]
    return [*current, *_superseded(scale_dir, scores)]


def _of_row(scale_dir: Path, row: Row, times: list[tuple[str, str, float | None]]) -> RunCost:
    folder = scale_dir / row.run_dir
    state = row.status if row.status in ("ok", "failed") else "unfinished" if row.seconds is None else "ok"
    seconds = scoring_job_seconds(scale_dir.parent.parent, scale_dir.name, row.run)
    return RunCost(
        name=row.run,
        task=row.task,
        experiment=row.experiment,
        dataset=row.dataset,
        state=state,
        device=row.device,
        train_seconds=row.seconds,
        score_seconds=_sum_of_clocks(times) if seconds is None else seconds,
        peak_memory_bytes=row.peak_memory_bytes,
        energy_joules=row.extras.get("energy_joules"),
        storage=_storage(folder),
    )


def _superseded(scale_dir: Path, scores: Scores) -> Iterator[RunCost]:
    """Yield the cost of each superseded run. Skip copies of current runs. A killed `train` can leave such a copy."""
    tasks = {row.experiment: row.task for row in scores.runs}
    current = {(row.run, row.model_sha256, row.seconds) for row in scores.runs if row.model_sha256}
    for folder in sorted((scale_dir / SUPERSEDED).glob("*/*/*")):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        experiment, dataset, seed = folder.parts[-3:]
        try:
            record: Trained | None = read_trained(folder / META)
        except InputError:
            record = None
        training = record.training if record else None
        seconds = training.seconds if training else None
        run = f"{experiment}/{dataset}/{seed.rpartition('-')[0]}"
        if record and (run, record.model_sha256, seconds) in current:
            continue
        described: dict[str, Any] = (record.description if record else None) or read_mapping(folder / "run.json")
        yield RunCost(
            name=f"{SUPERSEDED}/{experiment}/{dataset}/{seed}",
            task=str(described.get("task") or tasks.get(experiment, "")),
            experiment=experiment,
            dataset=dataset,
            state=SUPERSEDED,
            device=(training.device if training else None) or "",
            train_seconds=seconds,
            score_seconds=_sum_of_clocks(_score_times(folder)),
            peak_memory_bytes=training.peak_memory_bytes if training else None,
            energy_joules=training.energy_joules if training else None,
            storage=_storage(folder),
        )


def _score_times(folder: Path) -> Iterator[tuple[str, str, float | None]]:
    """Yield (metric, weights, seconds) of each successful score of a superseded run."""
    for path in sorted((folder / "scores").glob("*.json")):
        metric, _, weights = path.stem.partition("@")
        score = read_mapping(path)
        if score.get("status") == "ok":
            seconds = score.get("seconds")
            yield metric, weights, float(seconds) if isinstance(seconds, int | float) else None


def _sum_of_clocks(times: Iterable[tuple[str, str, float | None]]) -> float | None:
    """Return the total time of the scores, 0 without scores, or None if the time of a score is unknown.

    Metrics of the same feature extractor, or of the same prediction, share a clock, so only the largest of their times
    is added.
    """
    clocks: dict[tuple[str, str], float] = {}
    for metric, weights, seconds in times:
        if metric in METRICS and metric not in UNTIMED:
            if seconds is None:
                return None
            key = weights, _clock(metric)
            clocks[key] = max(clocks.get(key, 0.0), seconds)
    return sum(clocks.values())


def _clock(metric: str) -> str:
    if metric in ("top1", "top5", "ece"):
        return "prediction"
    return "sifid" if metric.startswith("sifid") else METRICS[metric].extractor or metric


def _storage(folder: Path) -> int:
    files = {(s.st_dev, s.st_ino): s.st_size for s in (path.stat() for path in folder.rglob("*") if path.is_file())}
    return sum(files.values())
