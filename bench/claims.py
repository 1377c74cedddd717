"""Pydantic models of config/claims.yaml, which contains pre-registered comparisons and decision criteria."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from bench.files import read_yaml
from bench.schema import PositiveFloat, Strict, Task, parse_strict


def _one_or_three_sets(sets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the datasets of a comparison. Raises ValueError for zero or two datasets, or if a dataset occurs twice.

    A test over seeds needs one dataset, and a test over datasets needs at least three datasets.
    """
    twice = [name for index, name in enumerate(sets) if name in sets[:index]]
    if twice:
        raise ValueError(f"{twice[0]} occurs twice")
    if len(sets) in (0, 2):
        raise ValueError(
            f"{len(sets)} datasets: list one (for a test over its seeds) or at least three (for a test over datasets)"
        )
    return sets


Baseline = Annotated[str, Field(validation_alias=AliasChoices("baseline", "rival"))]
"""Experiment without SLIM. Files of earlier versions call this key `rival`."""


class Pair(Strict):
    """An experiment with SLIM and the baseline it is compared with."""

    slim: str = Field(description="experiment with SLIM")
    baseline: Baseline = Field(description="experiment without SLIM")


class TaskSettings(Strict):
    """Experiments and metrics that the report compares and shows for a task."""

    title: str = Field(description="heading of the task in the report")
    pairs: tuple[Pair, ...] = Field(description="pairs of experiments to compare")
    primary: tuple[str, ...] = Field(description="metrics of summary, figures and tests, the most important first")
    controls: dict[str, str] = Field({}, description="purpose of each control experiment, as shown in the report")
    ablation_bases: tuple[str, ...] = Field((), description="base experiments of the ablation tables")
    ablation_metrics: tuple[str, ...] = Field((), description="metrics of the ablation tables")


class Comparison(Strict):
    """One comparison: the improvement, positive if SLIM is better, must exceed `margin`."""

    metric: str = Field(description="metric to compare")
    protocol: str = Field(description="pattern for the whole protocol id; * matches any text")
    slim: str = Field(description="experiment with SLIM")
    baseline: Baseline = Field(description="experiment without SLIM: a baseline or a control")
    sets: Annotated[tuple[str, ...], AfterValidator(_one_or_three_sets)] = Field(
        description="datasets: one (for a test over its seeds) or at least three (for a test over datasets)"
    )
    measure: Literal["relative", "difference", "constant"] = Field(
        description="relative: fraction of the baseline's value; difference: in the metric's unit; "
        "constant: relative, without a test"
    )
    direction: Literal["lower", "higher"] = Field(description="which values are better")
    margin: float = Field(description="the improvement must exceed this bound")
    role: Literal["verdict", "control"] = Field("verdict", description="a control does not affect the verdict")


class Claim(Strict):
    """A claim of the paper and the comparisons that decide it."""

    id: str = Field(description="short name")
    title: str = Field(description="heading in the report")
    statement: str = Field(description="the claim, in one sentence")
    comparisons: tuple[Comparison, ...] = Field(description="comparisons; all except controls must hold")
    tasks: tuple[Task, ...] = Field(description="tasks whose scores are shown at scales without verdicts")
    shown: tuple[str, ...] = Field(description="metrics shown at scales without verdicts")
    doubt: str = Field("", description="alternative explanation of the result, and the control for it")

    @model_validator(mode="after")
    def _has_a_verdict(self) -> "Claim":
        if not any(comparison.role == "verdict" for comparison in self.comparisons):
            raise ValueError("no comparison has role verdict, so the claim cannot be decided")
        return self


class Tolerance(Strict):
    """Largest difference from a published value that counts as reproduced: relative or absolute."""

    relative: PositiveFloat | None = Field(None, description="fraction of the published value")
    absolute: PositiveFloat | None = Field(None, description="difference in the metric's unit")


def target_of(claim: Claim) -> str:
    """Return the name of the workflow target that contains all runs of a claim, including controls."""
    return f"claim-{claim.id}"


Condition = Literal["device", "torch", "precision", "compile"]
"""A training condition; `device` is the CPU or the GPU model, `torch` is torch's major and minor version."""


class ReportSettings(Strict):
    """claims.yaml: comparisons and decision criteria, pre-registered before the first run."""

    verdict_scale: str = Field(description="the only scale with verdicts")
    minimum_seeds: int = Field(ge=5, description="finished seeds required for a verdict")
    alpha: float = Field(gt=0, lt=1, description="significance level of the two-sided tests after Holm's correction")
    may_differ: tuple[Condition, ...] = Field(
        (), description="training conditions that may differ between SLIM and its baseline at the scale with verdicts"
    )
    tasks: dict[Task, TaskSettings] = Field(description="settings of each task")
    claims: tuple[Claim, ...] = Field(description="the claims of the paper")
    tolerances: dict[str, Tolerance] = Field(description="tolerance for published values by metric")

    def tolerance(self, metric: str, value: float) -> float | None:
        """Return the largest difference from `value` that counts as reproduced; None if the metric has no tolerance."""
        tolerance = self.tolerances.get(metric)
        if tolerance is None:
            return None
        return tolerance.absolute if tolerance.absolute is not None else (tolerance.relative or 0.0) * abs(value)


def load_settings(path: Path = Path("config/claims.yaml")) -> ReportSettings:
    return parse_strict(ReportSettings, read_yaml(path), path)
