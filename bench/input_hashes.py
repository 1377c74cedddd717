"""Records the inputs of scores, tables and the report page in files next to these outputs.

`bench.outdated` compares the records with the current inputs.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.code_digest import code_digest
from bench.errors import InputError
from bench.files import MAX_TEXT_BYTES, read_json, read_mapping, sha256_file, sha256_json, write_json
from bench.ownership import is_truncated
from bench.paths import AUDIT_SUFFIX, PREPARED, RUNS
from bench.run import Evaluation, Run, evaluation_hash
from bench.schema import Strict, parse_strict

COMPLETE = ".complete"
"""File in a scores folder, written last, with the hashes of the inputs and of each score file."""
COLLECTED, RENDERED = ".collected.json", ".rendered.json"
"""Files in results/SCALE with the hashes of the inputs of the tables and of the report page."""


class Complete(Strict):
    """Content of the file COMPLETE. `files` maps the name of each score file to its sha256."""

    scored_sha256: str
    code_sha256: str
    files: dict[str, str]


def file_digest(path: Path) -> str | None:
    """Return the sha256 of a record or table; None if it is missing, unreadable or too large for such a file."""
    try:
        return sha256_file(path) if path.stat().st_size <= MAX_TEXT_BYTES else None
    except (InputError, OSError):
        return None


def scored_sha256(run_sha256: str, evaluation: Evaluation, export_sha256: str | None, data_sha256: str | None) -> str:
    """Return the hash of the inputs of a run's scores, without the code that computes them."""
    return sha256_json([run_sha256, evaluation_hash(evaluation), export_sha256, data_sha256])


def write_complete(folder: Path, run: Run, model: dict[str, Any], files: Iterable[Path]) -> None:
    """Record `files` as the complete scores of a run, computed by the current code. `model` is the run's model.json."""
    record = {
        "scored_sha256": scored_sha256(run.hash, run.evaluation, model.get("model_sha256"), model.get("data_sha256")),
        "code_sha256": code_digest("bench.evaluate.run"),
        "files": {path.name: sha256_file(path) for path in sorted(files)},
    }
    write_json(Path(folder) / COMPLETE, record)


def read_complete(folder: Path) -> Complete:
    """Read the record in a scores folder. Raises InputError if it is missing or damaged."""
    path = Path(folder) / COMPLETE
    record = parse_strict(Complete, read_json(path), path)
    for name in record.files:
        if name != Path(name).name or not name.endswith(".json"):
            raise InputError(f"{path}: files: {name!r} is not the name of a score")
    return record


def is_complete_mark(path: Path) -> bool:
    """Return whether a file is the record of a scores folder, possibly truncated or of an earlier version."""
    return read_mapping(path).keys() >= Complete.model_fields.keys() or is_truncated(path, '"scored_sha256": "')


def is_origin_record(path: Path) -> bool:
    """Return whether a file is COLLECTED or RENDERED, complete or truncated."""
    return "made_from" in read_mapping(path) or is_truncated(path, '"made_from": ')


def collected_from(scale_dir: Path, allow_mixed_code: bool) -> str:
    """Return the hash of all inputs of scores.csv.

    These are the records and scores of all runs, the list of runs with a history, the code, and `allow_mixed_code`.
    """
    runs = Path(scale_dir) / RUNS
    names = ("run.json", "model.json", "scores/*.json", f"scores/{COMPLETE}")
    paths = [path for name in names for path in runs.glob(f"*/*/*/{name}")]
    found = [[path.relative_to(runs).as_posix(), file_digest(path)] for path in sorted(paths)]
    begun = sorted(path.relative_to(runs).as_posix() for path in runs.glob("*/*/*/history.csv"))
    return sha256_json([found, begun, code_digest("bench.report.read.collect"), allow_mixed_code])


def rendered_from(scale_dir: Path) -> str:
    """Return the hash of the page's inputs, except histories and samples, which change only together with scores."""
    names = ("claims.yaml", "published.csv", "datasets.yaml")
    paths = [Path(scale_dir) / "scores.csv", *(Path("config") / name for name in names)]
    datasets = sorted({path.name for path in (Path(scale_dir) / RUNS).glob("*/*")})
    superseded = sorted((Path(scale_dir) / "superseded").glob("*/*/*/model.json"))
    audits = [path for name in datasets for path in sorted(PREPARED.glob(f"{name}-*{AUDIT_SUFFIX}"))]
    found = [[path.name, file_digest(path)] for path in (*paths, *audits, *superseded)]
    return sha256_json([*found, code_digest("bench.report.page")])
