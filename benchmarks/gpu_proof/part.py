"""The parts of the proof, and the function that measures one part in the current process."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_proof.record import Record

PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tests": ("gpu_tests", {}),
    "fewshot-256": ("fewshot", {"image_size": 256}),
    "fewshot-1024": ("fewshot", {"image_size": 1024}),
    "singan": ("singan", {}),
    "resnet": ("resnet", {}),
    "curves": ("curves", {}),
    "resume": ("resume", {}),
}
"""Part -> module of this package, and arguments of its function `measure`."""


def measure_part(name: str, path: Path, quick: bool, seconds: float) -> None:
    """Measure one part in this process. If `quick` on a CPU, torch.compile captures networks but generates no code."""
    module, options = PARTS[name]
    if quick and not torch.cuda.is_available():
        torch.compile = partial(torch.compile, backend="eager")
    record = Record(path, name, quick, seconds)
    importlib.import_module(f"benchmarks.gpu_proof.{module}").measure(record, quick=quick, **options)
    record.finish()
