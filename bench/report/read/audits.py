"""Reads facts about the datasets of a report from their audit records and from the dataset catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.data.audit_record import (
    AuditRecord,
    audit_path,
    describe_preparation,
    describe_source,
    read_audit,
    thumbnails_path,
)
from bench.data.catalogue import CATALOGUE, Dataset, load_catalogue
from bench.errors import InputError
from bench.files import read_mapping
from bench.report.read.scores import Scores
from bench.schema import whole_number


@dataclass(frozen=True)
class UsedDataset:
    """A dataset of the report. Without an audit, `record` is None. The PNG file `thumbnails` may not exist."""

    name: str
    title: str
    facts: dict[str, str]
    """Source, licence, citation and preparation, as far as they are known."""
    record: AuditRecord | None = None
    thumbnails: Path | None = None


def read_used_datasets(scores: Scores, scale_dir: Path, config: Path) -> list[UsedDataset]:
    """Return the datasets of all runs, in the order of scores.csv."""
    known = load_catalogue(config.parent).datasets if (config.parent / CATALOGUE).is_file() else {}
    used = []
    for name in scores.runs.distinct("dataset"):
        paths = (_data_path(scale_dir / row.run_dir) for row in scores.runs.where(dataset=name))
        prepared = next((path for path in paths if path is not None), None)
        used.append(_used(name, prepared, known))
    return used


def _data_path(run_folder: Path) -> Path | None:
    """Return the folder of the prepared dataset of a run, or None if run.json names no folder."""
    data = read_mapping(run_folder / "run.json").get("data")
    path = data.get("path") if isinstance(data, dict) else None
    return Path(path) if isinstance(path, str) else None


def _used(name: str, prepared: Path | None, known: Mapping[str, Dataset]) -> UsedDataset:
    record = None if prepared is None else _record(audit_path(prepared))
    thumbnails = None if prepared is None or record is None else thumbnails_path(audit_path(prepared))
    entry = known.get(name)
    described = entry or record
    if described is None:
        return UsedDataset(name, name, {})
    size = None if prepared is None else whole_number(prepared.name.rpartition("-")[2])
    facts = {
        "Source": record.source if record else "; or ".join(map(describe_source, entry.sources)) if entry else "",
        "Licence": "; ".join(text for text in (described.licence, described.terms) if text),
        "Citation": described.citation or "",
        "Preparation": describe_preparation(entry, size) if entry else record.preparation if record else "",
    }
    return UsedDataset(name, described.title, {key: text for key, text in facts.items() if text}, record, thumbnails)


def _record(path: Path) -> AuditRecord | None:
    try:
        return read_audit(path)
    except InputError:
        return None
