"""One row of scores.csv. The fields of `Row` are the columns of the file, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.files import parse_json

TRAINING = "train_seconds"
"""Metric of the row that describes the training of a run, even an unfinished one. The score is the training time."""
MACHINE_TIMES = (TRAINING, "latency")
"""Metrics that are times, so their scores depend on the machine."""


@dataclass(frozen=True)
class Row:
    """One score, or the reason why it is missing, with its provenance."""

    scale: str
    task: str
    experiment: str
    dataset: str
    seed: int
    base: str
    """Experiment of which `experiment` is a variation, or empty text."""
    model: str
    metric: str
    weights: str
    value: float | None
    unit: str
    direction: str
    protocol: str
    n: float | None
    standard_error: float | None
    interval_low: float | None
    interval_high: float | None
    status: str
    reason: str
    run: str
    run_dir: str
    run_sha256: str
    data_sha256: str
    model_sha256: str
    seconds: float | None
    device: str
    peak_memory_bytes: float | None
    precision: str
    compile: bool | None
    python: str
    torch: str
    cuda: str
    driver: str
    commit: str
    dirty: bool | None
    code_sha256: str
    mixed_code: bool
    command: str
    details: str
    """Further values of the score, as JSON text."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Row":
        """Return a row with the given values that are not None. All other fields are empty."""
        known = {name: value for name, value in values.items() if value is not None}
        return cls(**{name: EMPTY_VALUES[kind] for name, kind in FIELD_TYPES.items()} | known)

    @classmethod
    def parse(cls, line: Mapping[str, str]) -> "Row":
        """Parse a CSV line that `cells` wrote. `line` maps each column to its text."""
        return cls(**{name: PARSERS[kind](line[name]) for name, kind in FIELD_TYPES.items()})

    def cells(self) -> list[str]:
        """Return the row as CSV cells: floats in full precision, None as empty text."""
        values = [getattr(self, name) for name in COLUMNS]
        return ["" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values]

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def is_control(self) -> bool:
        """Whether the score belongs to a control, which does not use the run's network."""
        return self.weights.startswith("control")

    @property
    def extras(self) -> dict[str, Any]:
        return parse_json(self.details, f"scores.csv: details of {self.metric} of {self.run}") if self.details else {}


FIELD_TYPES: dict[str, Any] = {field.name: field.type for field in fields(Row)}
COLUMNS = tuple(FIELD_TYPES)
EMPTY_VALUES: dict[Any, Any] = {str: "", int: 0, bool: False, bool | None: None, float | None: None}
PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    bool: lambda text: text == "True",
    bool | None: lambda text: text == "True" if text else None,
    float | None: lambda text: float(text) if text else None,
}
