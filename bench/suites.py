"""Reads the suites of runs from config/suites/*.yaml, and creates one suite per claim of config/claims.yaml.

This module does not import torch.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from bench.claims import Claim, ReportSettings, load_settings, target_of
from bench.errors import InputError
from bench.files import read_yaml
from bench.schema import Strict, parse_strict, valid_name

CLAIMS = "config/claims.yaml"


class RunList(Strict):
    """Every combination of the listed experiments and datasets, at the listed scales."""

    scales: tuple[str, ...] = Field(description="scales that include these runs")
    experiments: tuple[str, ...] = Field(description="names from config/experiments.yaml and config/ablations.yaml")
    datasets: tuple[str, ...] = Field(description="names from config/datasets.yaml, or own for the user's folders")


class Suite(Strict):
    """suites/*.yaml: a target of the workflow, as lists of runs."""

    description: str = Field(description="purpose of the target; `slim-bench plan` prints it")
    scale: str = Field(description="default scale")
    include: tuple[str, ...] = Field((), description="suites whose runs are included")
    runs: tuple[RunList, ...] = Field((), description="lists of runs; the scale defines the seeds")


class ClaimSuite(Suite):
    """Suite of all runs that a claim of claims.yaml compares, controls included, at the scale with verdicts."""

    claim: str


def read_suites(folder: Path) -> dict[str, Suite]:
    """Return the suites of the configuration in `folder` by name, including one suite per claim."""
    suites: dict[str, Suite] = {
        valid_name(path.stem, str(path.relative_to(folder.parent))): parse_strict(
            Suite, read_yaml(path), path.relative_to(folder.parent)
        )
        for path in sorted((folder / "suites").glob("*.yaml"))
    }
    return suites | _claim_suites(folder / "claims.yaml", suites)


def _claim_suites(path: Path, suites: Mapping[str, Suite]) -> dict[str, ClaimSuite]:
    """Return a suite per claim in `path`, by the name of its target. Raises InputError if a suite has that name."""
    if not path.is_file():
        return {}
    settings = load_settings(path)
    found = {target_of(claim): _claim_suite(claim, settings) for claim in settings.claims}
    for name in found:
        valid_name(name, f"{CLAIMS}: claims.id")
        if name in suites:
            raise InputError(f"config/suites/{name}.yaml: is also the name of a claim's target; rename the suite")
    return found


def _claim_suite(claim: Claim, settings: ReportSettings) -> ClaimSuite:
    runs = tuple(
        RunList(scales=(settings.verdict_scale,), experiments=(part.slim, part.baseline), datasets=part.sets)
        for part in claim.comparisons
    )
    description = f"claim: {claim.title[0].lower()}{claim.title[1:]}"
    return ClaimSuite(claim=claim.id, description=description, scale=settings.verdict_scale, runs=runs)
