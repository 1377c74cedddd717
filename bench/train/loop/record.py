"""run.json, model card and model.json of a finished run: what was asked for, on which data, and what came of it.

A workflow that was killed before it saw the end of a job deletes the job's declared output, model.json. A second copy
spares such a run its repetition: see `restore_record`. No torch.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.files import sha256_file, write_json, write_text
from bench.paths import META, META_COPY, WEIGHTS
from bench.provenance import provenance
from bench.registry import training_modules
from bench.run import Run, write_run
from bench.train.loop.card import model_card
from bench.train.loop.folders import finished_record


@dataclass
class Outcome:
    """What happened in a run, as model.json tells it."""

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
    """The hash of the data trained on, and what a user of the export must know of them (size, channels, classes)."""

    sha256: str
    about: dict[str, Any] | None


def write_record(out: Path, run: Run, data: Data, training: dict[str, Any], reason: str | None = None) -> None:
    """All that explains the weights in `out`; model.json last, as the mark of a finished run; `reason`: it failed."""
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
        **provenance(*training_modules(run.task, run.model.name)),
    }
    if not (out / "run.json").exists():  # trained into another folder than that of its run.json
        write_run(out / "run.json", run)
    write_text(out / "README.md", model_card(run, meta))
    if ok:
        write_json(out / META_COPY, meta)
    write_json(out / META, meta)


def forget_record(out: Path) -> None:
    """What is trained from here on is another training than the one whose record was kept."""
    (out / META_COPY).unlink(missing_ok=True)


def restore_record(run: Run, out: Path, data_sha256: str | None) -> bool:
    """Whether `out` holds this run, trained to its end on these data (None: on whatever data), by whatever code.

    Says so, and writes model.json again if it is lost.
    """
    record = finished_record(out)
    mine = {"run_sha256": run.hash, "data_sha256": data_sha256}
    if not record or any(record.get(key) not in (None, value) for key, value in mine.items() if value):
        return False
    if record.get("model_sha256") not in (None, sha256_file(out / WEIGHTS)):
        return False
    lost = not (out / META).exists()
    if lost:
        write_json(out / META, record)
    code = provenance(*training_modules(run.task, run.model.name))["code_sha256"]
    other = ", by other code than the present" if record.get("code_sha256") not in (None, code) else ""
    words = "was trained to its end before" if lost else "already trained"
    print(f"[{run.name}] {words}{other}: --overwrite trains again and keeps this one aside", file=sys.stderr)
    return True
