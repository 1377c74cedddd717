"""Reads golden files and compares them with computed values.

A check module has KINDS: kind -> check(tensors, metadata) -> {name of a stored output: computed value}. `tensors` is a
mapping that records which tensors were read. A stored tensor that is neither read nor computed is a failure. So is a
stored float32 or float64 tensor that is not computed, because only inputs and weights are stored in half precision.
A JSON file is a list of cases. Its kind is the file name, and its check reads every key of every case.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

TOLERANCE = 1e-5
"""max|a-b| / max|b| in float32."""

Check = Callable[[Mapping[str, Tensor], Mapping[str, str]], dict[str, Tensor]]


class Stored(Mapping[str, Tensor]):
    """Tensors of one file, which records reads and returns floating-point tensors in at least float32."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors, self.read = tensors, set()

    def __getitem__(self, name: str) -> Tensor:
        value = self.tensors[name]
        self.read.add(name)
        return value.float() if value.dtype == torch.float16 else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def load(path: Path) -> tuple[str, Stored, dict[str, str]]:
    """Return (kind, tensors, metadata) of a file."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        names = file.keys()
        return metadata.get("kind", "none"), Stored({name: file.get_tensor(name) for name in names}), metadata


class Case(dict[str, Any]):
    """One case of a JSON file, which records the keys that were read."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.unread = set(values)

    def __getitem__(self, key: str) -> Any:
        self.unread.discard(key)
        return super().__getitem__(key)


def load_cases(path: Path) -> list[Case]:
    return [Case(case) for case in json.loads(path.read_text(encoding="utf-8"))]


def problems(stored: Stored, computed: Mapping[str, Tensor]) -> list[str]:
    """Return one line per stored value that differs from the computed value or that no check reads."""
    lines = [f"{name}: computed, but not stored" for name in computed if name not in stored]
    for name, value in stored.tensors.items():
        if name in computed:
            error = relative_error(computed[name], value)
            if not error <= (TOLERANCE if value.is_floating_point() else 0):
                lines.append(f"{name}: off by {error:.2e} of its largest value")
        elif value.dtype in (torch.float32, torch.float64):
            lines.append(f"{name}: a stored output that was not computed")
        elif name not in stored.read:
            lines.append(f"{name}: stored, but no check reads it")
    return lines


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return max|a-b| / max|b|, or infinity if the shapes differ."""
    if value.shape != reference.shape:
        return float("inf")
    value, reference = value.detach().double(), reference.double()
    return ((value - reference).abs().max() / reference.abs().max().clamp_min(1e-30)).item()
