"""config/claims.yaml and config/published.csv: what is compared with what, decided before the first run."""

import csv
import io
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from bench.errors import InputError
from bench.files import read_text, read_yaml
from bench.schema import PositiveFloat, Strict, Task, parse_strict


def _no_two_sets(sets: tuple[str, ...]) -> tuple[str, ...]:
    """Over one set the seeds are the sample, over three and more the sets; over two neither would be honest."""
    twice = [name for index, name in enumerate(sets) if name in sets[:index]]
    if twice:
        raise ValueError(f"{twice[0]} is given twice")
    if len(sets) in (0, 2):
        raise ValueError(
            f"{len(sets)} datasets: name one (its seeds are compared) or three and more (sets are compared)"
        )
    return sets


Baseline = Annotated[str, Field(validation_alias=AliasChoices("baseline", "rival"))]
"""Files of earlier versions call it `rival`."""


class Pair(Strict):
    """SLIM and the baseline it is compared with."""

    slim: str = Field(description="the experiment with SLIM")
    baseline: Baseline = Field(description="the baseline")


class TaskSettings(Strict):
    """How the report shows a task."""

    title: str = Field(description="heading of the task")
    pairs: tuple[Pair, ...] = Field(description="which networks are compared")
    primary: tuple[str, ...] = Field(description="metrics of the summary, the figures and the tests, most wanted first")
    controls: dict[str, str] = Field({}, description="experiment -> the doubt it answers")
    ablation_bases: tuple[str, ...] = Field((), description="experiments whose variations are tables of ablations")
    ablation_metrics: tuple[str, ...] = Field((), description="metrics of those tables")


class Comparison(Strict):
    """One inequality. Improvement is positive where SLIM is better; `margin` is what it must exceed."""

    metric: str = Field(description="the metric compared")
    protocol: str = Field(description="pattern that the protocol ids must match; * is any text")
    slim: str = Field(description="the experiment with SLIM")
    baseline: Baseline = Field(description="the baseline, or a control")
    sets: Annotated[tuple[str, ...], AfterValidator(_no_two_sets)] = Field(
        description="datasets: one (its seeds are the sample) or at least three (the sets are)"
    )
    measure: Literal["relative", "difference", "constant"] = Field(
        description="relative: share of the baseline's value; difference: in units; constant: relative, without a test"
    )
    direction: Literal["lower", "higher"] = Field(description="which values are better")
    margin: float = Field(description="what the improvement must exceed")
    role: Literal["verdict", "control"] = Field("verdict", description="a control is shown, it decides nothing")


class Claim(Strict):
    """A claim of the paper, and what would answer it."""

    id: str = Field(description="its name in links")
    title: str = Field(description="its heading")
    statement: str = Field(description="the claim, in one sentence")
    comparisons: tuple[Comparison, ...] = Field(description="all verdicts among them must hold")
    tasks: tuple[Task, ...] = Field(description="where to look for its numbers at other scales")
    shown: tuple[str, ...] = Field(description="the metrics shown there")
    doubt: str = Field("", description="what else could explain the result, and which control answers it")

    @model_validator(mode="after")
    def _something_decides(self) -> "Claim":
        if not any(comparison.role == "verdict" for comparison in self.comparisons):
            raise ValueError("no comparison of role verdict: nothing would decide the claim")
        return self


class Tolerance(Strict):
    """How near to a published value counts as reproduced: a share of the value, or an absolute difference."""

    relative: PositiveFloat | None = Field(None, description="share of the published value")
    absolute: PositiveFloat | None = Field(None, description="difference in the metric's unit")


class ReportSettings(Strict):
    """claims.yaml: what is compared with what, decided before the first run."""

    verdict_scale: str = Field(description="the one scale at which a verdict is given")
    minimum_seeds: int = Field(ge=5, description="finished seeds that a verdict needs")
    alpha: float = Field(gt=0, lt=1, description="level of the two-sided tests, after Holm's correction")
    tasks: dict[Task, TaskSettings] = Field(description="how each task is shown")
    claims: tuple[Claim, ...] = Field(description="the claims of the paper")
    tolerances: dict[str, Tolerance] = Field(description="by metric, what counts as reproduced")

    def tolerance(self, metric: str, value: float) -> float | None:
        """The difference from `value` that still counts as reproduced; None where none is stated."""
        stated = self.tolerances.get(metric)
        if stated is None:
            return None
        return stated.absolute if stated.absolute is not None else (stated.relative or 0.0) * abs(value)


class Published(Strict):
    """One confirmed published value; `protocol`: the pattern that a protocol id of ours must match."""

    method: str
    experiment: str | None
    dataset: str
    metric: str
    value: float
    unit: str
    protocol: str
    source: str

    def comparable(self, protocol: str) -> bool:
        return fnmatchcase(protocol, self.protocol)


def load_settings(path: Path = Path("config/claims.yaml")) -> ReportSettings:
    return parse_strict(ReportSettings, read_yaml(path), path)


def load_published(path: Path = Path("config/published.csv")) -> list[Published]:
    """Rows of published.csv; a fault names file and line."""
    convert: dict[str, Callable[[str], object]] = {"value": float, "experiment": lambda text: text or None}
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    rows = []
    for row in reader:
        try:
            row = {key: convert.get(key, str)(value) for key, value in row.items()}
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}") from None
        rows.append(parse_strict(Published, row, f"{path}, line {reader.line_num}"))
    return rows
