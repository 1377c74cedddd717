"""Lists the files of a bundle: report, scores, run descriptions and the project's configuration, without weights."""

from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.files import read_mapping, sha256_file
from bench.input_hashes import RENDERED, rendered_from
from bench.paths import PROJECT, RUNS

PROJECT_FILES = ("requirements.lock", "pyproject.toml", "dvc.yaml", "CITATION.cff", "LICENSE", "NOTICE")
PROJECT_PATTERNS = ("config/*.yaml", "config/*.csv", "config/suites/*.yaml", "data/sources/*.dvc")
RUN_PATTERNS = ("run.json", "model.json", "history.csv", "README.md", "scores/*.json")


@dataclass(frozen=True)
class Member:
    """A file of the bundle. `name`: path in the archive; `sha256`: hash, if recorded in the report."""

    name: str
    path: Path
    sha256: str | None = None


def members(scale_dir: Path) -> list[Member]:
    """Return the files to archive. Raises InputError if the report is missing, outdated, or was changed."""
    found = _report_members(scale_dir)
    found += [Member(f"results/{name}", scale_dir / name) for name in ("scores.csv", "metrics.json")]
    for pattern in RUN_PATTERNS:
        paths = sorted((scale_dir / RUNS).glob(f"*/*/*/{pattern}"))
        found += [Member(f"results/{path.relative_to(scale_dir).as_posix()}", path) for path in paths]
    for name in PROJECT_FILES:
        found.append(Member(name, PROJECT / name))
    for pattern in PROJECT_PATTERNS:
        found += [Member(path.relative_to(PROJECT).as_posix(), path) for path in sorted(PROJECT.glob(pattern))]
    return [member for member in found if member.path.is_file()]


def _report_members(scale_dir: Path) -> list[Member]:
    """Return the files that the last report wrote, after checking that none has changed since."""
    remedy = f"run `snakemake report` or `slim-bench report --scale {scale_dir.name}`"
    record = read_mapping(scale_dir / RENDERED)
    files = record.get("files")
    if not isinstance(files, dict) or not files:
        raise InputError(f"{scale_dir}: has no complete report; {remedy}")
    if record.get("made_from") != rendered_from(scale_dir):
        raise InputError(f"{scale_dir / RENDERED}: the report is outdated; {remedy}")
    found = []
    for name, sha256 in sorted(files.items()):
        path = scale_dir / name
        if not path.is_file() or sha256_file(path) != sha256:
            raise InputError(f"{path}: was changed or removed after the report was rendered; {remedy}")
        found.append(Member(f"results/{name}", path, sha256))
    return found
