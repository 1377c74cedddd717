"""Reads and writes scores/<metric>.json, which contains one score and everything needed to trace its origin."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field

from bench.errors import InputError
from bench.files import read_json, write_json
from bench.schema import Strict, parse_strict
from bench.training_record import Trained

WEIGHTS_KEYS = ("weights", "selection")
"""Keys for the scored weights: the current key, and the key that earlier versions wrote."""


class StaleError(InputError):
    """Error for a valid score whose weights or run.json were replaced after scoring."""


class Score(Strict):
    """One metric of one run. Scores are comparable in one column only if their `protocol` is equal."""

    metric: str
    value: float | None
    unit: str = ""
    direction: Literal["lower", "higher", "none"]
    protocol: str
    n: int | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    weights: str = Field("last", validation_alias=AliasChoices(*WEIGHTS_KEYS))
    """The scored weights: last, best (`protocol` states how), untrained, or a control (for example control-white)."""
    status: Literal["ok", "failed"] = "ok"
    reason: str | None = None
    seed: int
    run: str
    run_sha256: str
    data_sha256: str | None = None
    model_sha256: str | None = None
    """Hash of the scored weights; None for a control."""
    export_sha256: str | None = None
    """Hash of the last export of the evaluated run, whichever weights were scored."""
    seconds: float | None = None
    device: str | None = None
    peak_memory_bytes: int | None = None
    precision: str | None = None
    compile: bool | None = None
    training_precision: str | None = None
    training_compile: bool | None = None
    """`training_*`: settings `compute` of the run. `precision` and `compile` describe the measurement."""
    training_rollbacks: int = 0
    training_events: tuple[str, ...] = ()
    """Number of rollbacks during training, and descriptions of other events, such as a smaller micro-batch."""
    training_micro_batch: int | None = None
    """Number of images that training processed in one pass, less than the batch size after an out-of-memory error."""
    versions: dict[str, str | None] = {}
    commit: str | None = None
    dirty: bool | None = None
    code_sha256: str | None = None
    command: str | None = None
    details: dict[str, Any] = {}
    """Additional values for figures: a curve over n, values per image, names of nearest neighbours."""


def scored_weights(score: Mapping[str, Any]) -> str:
    """Return the scored weights of an unvalidated score file."""
    return str(next((score[key] for key in WEIGHTS_KEYS if key in score), "last"))


def score_path(folder: Path, metric: str, weights: str = "last") -> Path:
    """Return the path of a score: <metric>.json for `last` weights, <metric>@<weights>.json for others."""
    return Path(folder) / (f"{metric}.json" if weights == "last" else f"{metric}@{weights}.json")


def write_score(folder: Path, score: Score) -> Path:
    path = score_path(folder, score.metric, score.weights)
    write_json(path, score.model_dump(mode="json"))
    return path


def read_score(path: Path) -> Score:
    return parse_strict(Score, read_json(path), path)


def read_run_score(path: Path, run: str, hashes: Collection[str], trained: Trained) -> Score:
    """Return the score in `path` if it belongs to `run`, to one of `hashes` and to the current export `trained`.

    Raises StaleError for a score of another export, and InputError with the reason for any other invalid score.
    """
    score = read_score(path)
    if path != score_path(path.parent, score.metric, score.weights):
        raise InputError(f"{path}: contains the score {score_path(path.parent, score.metric, score.weights).name}")
    if score.run_sha256 not in ("", *hashes) and score.run != run:
        raise InputError(f"{path}: is a score of another run, {score.run}")
    if score.status == "ok" and score.value is None and not score.reason:
        raise InputError(f"{path}: has neither a value nor a reason")
    known = trained.model_sha256 is not None or trained.status == "failed"
    other_export = known and score.export_sha256 not in (None, trained.model_sha256)
    if score.run_sha256 not in ("", *hashes) or other_export:
        raise StaleError(f"{path}: score of another export")
    return score
