"""Measurements become score files: the numbers from the task, everything else from the run and the machine."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.errors import RunFailedError
from bench.made_from import write_complete
from bench.metrics.names import METRICS
from bench.provenance import provenance
from bench.registry import entry
from bench.run import Run
from bench.score import Score, score_path, write_score
from bench.train.monitor import peak_memory_bytes


@dataclass(frozen=True)
class Measurement:
    """One number as a task hands it over; `seconds` counts everything that had to be computed for it."""

    metric: str
    value: float | None
    protocol: str
    n: int | None = None
    seconds: float | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 4)


class ScoreFolder:
    """Writes the scores of one run; at the end files of earlier evaluations that were not renewed are removed."""

    def __init__(self, run: Run, meta: dict[str, Any], out: Path, device: torch.device):
        self.run, self.meta, self.out, self.device = run, meta, Path(out), device
        self.training = meta.get("training") or {}
        self.written: set[Path] = set()
        self._provenance = provenance("bench.evaluate", network_module(run.model.name))

    def wants(self, *metrics: str) -> bool:
        return any(metric in self.run.evaluation.metrics for metric in metrics)

    def add(self, measurement: Measurement, selection: str = "last", model_sha256: str | None = None) -> None:
        """Write a score if the run plans its metric. `model_sha256`: of the weights scored; controls have none."""
        if not self.wants(measurement.metric):
            return
        kind = METRICS[measurement.metric]
        values = {key: value for key, value in vars(measurement).items() if value is not None}
        self._write(
            Score(
                **{"value": None, **values},
                unit=kind.unit,
                direction=kind.direction,
                selection=selection,
                model_sha256=self.meta.get("model_sha256") if selection == "last" else model_sha256,
                **self._common(),
            )
        )

    def fail(self, reason: str, among: Collection[str] | None = None) -> None:
        """Planned metrics (`among` some: of these) without a score yet become failed ones, with the reason."""
        for metric in self.run.evaluation.metrics:
            if among is not None and metric not in among:
                continue
            if score_path(self.out, metric) in self.written:
                continue
            kind = METRICS[metric]
            failed = {"metric": metric, "value": None, "protocol": "", "status": "failed", "reason": reason}
            self._write(Score(**failed, unit=kind.unit, direction=kind.direction, **self._common()))

    def finish(self) -> None:
        """Remove scores that are not part of this evaluation, then record that it is complete."""
        for path in self.out.glob("*.json"):
            if path not in self.written:
                path.unlink()
        write_complete(self.out, self.run, self.meta, self.written)

    def _write(self, score: Score) -> None:
        self.written.add(write_score(self.out, score))

    def _common(self) -> dict[str, Any]:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return {
            "seed": self.run.seed,
            "run": self.run.name,
            "run_sha256": self.run.hash,
            "data_sha256": self.meta.get("data_sha256"),
            "export_sha256": self.meta.get("model_sha256"),
            "device": name,
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "precision": "float32",
            "compile": False,
            "training_precision": self.run.compute.precision,
            "training_compile": self.run.compute.compile,
            "training_rollbacks": len(self.training.get("rollbacks", ())),
            "training_events": tuple(self.training.get("events", ())),
            **self._provenance,
        }


def network_module(name: str) -> str:
    """The module that makes a registered network: the registry's strings are not imports."""
    return entry(name).target.partition(":")[0]


def finite(images: torch.Tensor, what: str) -> torch.Tensor:
    """Pass images on; NaN from a network is the run's failure, not a number."""
    bad = int((~torch.isfinite(images.flatten(1)).all(dim=1)).sum())
    if bad:
        raise RunFailedError(f"{what}: {bad} of {len(images)} images hold NaN or infinity")
    return images
