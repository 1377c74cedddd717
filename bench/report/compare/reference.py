"""Reads the reference results of a scale (expected value and tolerance of each score), and compares scores with them.

`python -m benchmarks reference SCALE` records these results by running the scale's suite with several numerics
settings, such as the vector instructions that torch uses. Training amplifies rounding, so the values differ between
settings. The tolerance of a score is three times the range of its values over the settings. The tolerance is at least
the standard deviation over the seeds of the same experiment and dataset, and at least 1e-6 of the mean unless the
metric is a count.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bench.errors import InputError
from bench.files import read_json
from bench.report.read.row import MACHINE_TIMES, Row
from bench.report.read.scores import Scores
from bench.schema import Positive, Strict, parse_strict

FOLDER = Path("benchmarks/reference")
Key = tuple[str, str, str]
"""Run, metric and weights, which identify a score within a scale."""
State = Literal["within", "outside", "missing"]


class ReferenceScore(Strict):
    """Expected value of one score."""

    run: str = Field(description="experiment/dataset/seedN")
    metric: str = Field(description="metric, such as `fid_cleanfid`")
    weights: str = Field(description="scored weights: `last`, `best`, `untrained` or a control")
    protocol: str = Field(description="protocol id; a score with another id is outside")
    n: Positive | None = Field(description="number of images that the score is computed from")
    mean: float = Field(description="mean over the settings")
    tolerance: float = Field(ge=0, description="largest accepted difference from `mean`")

    @property
    def key(self) -> Key:
        return self.run, self.metric, self.weights


class HeldOutSetting(Strict):
    """The setting that is excluded from the means and tolerances and was used to check them."""

    name: str = Field(description="name of the setting")
    variables: dict[str, str] = Field(description="its environment variables")
    within: int = Field(ge=0, description="number of its scores that are within the tolerance")
    scores: int = Field(ge=0, description="number of its scores")


def _check_unique_scores(scores: tuple[ReferenceScore, ...]) -> tuple[ReferenceScore, ...]:
    seen: set[Key] = set()
    for score in scores:
        if score.key in seen:
            raise ValueError(f"{score.run}, {score.metric} of {score.weights} occurs twice")
        seen.add(score.key)
    return scores


class ReferenceResults(Strict):
    """benchmarks/reference/SCALE.json."""

    schema_version: Literal[1] = Field(description="version of this file format")
    scale: str = Field(description="scale of the results")
    commit: str = Field(description="commit that computed them")
    torch: str = Field(description="version of torch")
    cpu: str = Field(description="model name of the CPU")
    settings: dict[str, dict[str, str]] = Field(
        min_length=2, description="name of each numerics setting -> its environment variables"
    )
    left_out: HeldOutSetting = Field(description="setting excluded from the means and used to check the tolerances")
    scores: Annotated[tuple[ReferenceScore, ...], Field(min_length=1), AfterValidator(_check_unique_scores)] = Field(
        description="every score except times, sorted by run, metric and weights"
    )


@dataclass(frozen=True)
class Agreement:
    """One reference score, the value in the results, and whether this value is within the tolerance."""

    expected: ReferenceScore
    value: float | None
    state: State
    reason: str = ""


def reference_path(scale: str) -> Path:
    return FOLDER / f"{scale}.json"


def read_reference(scale: str) -> ReferenceResults:
    """Return the reference results of `scale`.

    Raises InputError if the file is missing, damaged or of another scale.
    """
    path = reference_path(scale)
    if not path.exists():
        raise InputError(f"{path}: no such file; `python -m benchmarks reference {scale}` records it")
    reference = read_reference_file(path)
    if reference.scale != scale:
        raise InputError(
            f"{path}: scale: contains reference results of {reference.scale}; restore the file from the repository"
        )
    return reference


def read_reference_file(path: Path) -> ReferenceResults:
    """Return the reference results in a file. Raises InputError that names the file and key of a problem."""
    return parse_strict(ReferenceResults, read_json(path), path)


def comparable_rows(scores: Scores) -> dict[Key, Row]:
    """Return the rows of all scores except times, which depend on the machine and have no reference."""
    return {(row.run, row.metric, row.weights): row for row in scores if row.metric not in MACHINE_TIMES}


def agreements(scores: Scores, expected: tuple[ReferenceScore, ...]) -> list[Agreement]:
    """Compare each score of the reference with the results, in the order of the reference."""
    rows = comparable_rows(scores)
    return [_agreement(rows.get(score.key), score) for score in expected]


def _agreement(row: Row | None, expected: ReferenceScore) -> Agreement:
    if row is None:
        return Agreement(expected, None, "missing", "not in scores.csv")
    if not row.ok or row.value is None:
        return Agreement(expected, None, "missing", row.reason or row.status)
    if row.protocol != expected.protocol:
        reason = f"protocols differ: {row.protocol}, reference {expected.protocol}"
        return Agreement(expected, row.value, "outside", reason)
    near = abs(row.value - expected.mean) <= expected.tolerance
    return Agreement(expected, row.value, "within" if near else "outside")
