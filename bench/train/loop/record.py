"""Writes run.json, the model card and model.json, which describe a finished run with its data and outcome.

A workflow that is killed before it registers the end of a job deletes the job's declared output, model.json. A second
copy of model.json prevents such a run from being trained again (see `restore_record`). This module does not import
torch.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.card import CARD, model_card
from bench.files import read_mapping, sha256_file, write_json, write_text
from bench.ownership import is_complete_weights, is_record, move_if_foreign
from bench.paths import META, META_COPY, WEIGHTS
from bench.provenance import machine, provenance
from bench.registry import training_modules
from bench.run import Run, write_run
from bench.train.loop.folders import finished_record


@dataclass
class Outcome:
    """Outcome of training a run, as recorded in model.json."""

    steps: int = 0
    unit: str = "step"
    seconds: float = 0.0
    images: int = 0
    device: str | None = None
    peak_memory_bytes: int | None = None
    precision: str | None = None
    compile: bool | None = None
    cuda_graphs: bool | None = None
    threads: int | None = None
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    energy_joules: float | None = None

    def training(self) -> dict[str, Any]:
        rate = self.images / self.seconds if self.seconds else None
        return {**vars(self), "images_per_second": rate}


class Data(NamedTuple):
    """Hash of the training data, and their description for users of the export (size, channels, classes)."""

    sha256: str
    about: dict[str, Any] | None


def write_record(out: Path, run: Run, data: Data, training: dict[str, Any], reason: str | None = None) -> None:
    """Write the files that describe the weights in `out`. A `reason` means that the run failed.

    model.json is written last, because it marks a finished run.
    """
    from bench.export import read_spec

    ok, weights = reason is None, out / WEIGHTS
    meta = {
        "status": "ok" if ok else "failed",
        "reason": reason,
        "run": run.name,
        "run_sha256": run.hash,
        "data_sha256": data.sha256,
        "data": data.about,
        "model_sha256": sha256_file(weights) if ok else None,
        "model": read_spec(weights) if ok else run.model.model_dump(mode="json"),
        "training": training,
        "description": run.model_dump(mode="json"),
        "machine": machine(),
        **provenance(*training_modules(run.task, run.model.name)),
    }
    if not (out / "run.json").exists():  # training read a run.json in another folder
        write_run(out / "run.json", run)
    write_text(out / CARD, model_card(run, meta))
    if ok:
        write_json(out / META_COPY, meta)
    write_json(out / META, meta)


def forget_record(out: Path) -> None:
    """Remove the second copy of model.json, because the run that starts now replaces the recorded run."""
    (out / META_COPY).unlink(missing_ok=True)


def restore_record(run: Run, out: Path, data_sha256: str | None) -> bool:
    """Return whether `out` contains this run, finished by any code version on data with this hash (None: any data).

    If so, the function prints a message, and writes model.json again if it is missing or differs from the record.
    """
    record = finished_record(out)
    expected = {"run_sha256": run.hash, "data_sha256": data_sha256}
    if not record or any(record.get(key) not in (None, value) for key, value in expected.items() if value):
        return False
    if record.get("model_sha256") is not None:
        move_if_foreign(out / WEIGHTS, is_complete_weights)
        if not (out / WEIGHTS).exists() or record["model_sha256"] != sha256_file(out / WEIGHTS):
            return False
    lost = read_mapping(out / META) != record
    if lost:
        move_if_foreign(out / META, is_record)
        write_json(out / META, record)
    code = provenance(*training_modules(run.task, run.model.name))["code_sha256"]
    other = " by a different code version" if record.get("code_sha256") not in (None, code) else ""
    words = "already trained, model.json restored" if lost else "already trained"
    print(f"[{run.name}] {words}{other}; --overwrite retrains it and keeps this run as superseded", file=sys.stderr)
    return True
