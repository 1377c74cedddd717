"""Audits a dataset for the workflow and writes the record of the audit.

Problems of the dataset are recorded and do not raise an error.
"""

from pathlib import Path

from bench.data.audit import Audit, audit
from bench.data.audit_record import (
    FORMAT,
    MAX_EXAMPLES,
    AuditRecord,
    Check,
    audited_folder,
    dataset_sha256,
    describe_preparation,
    describe_source,
    expected_counts,
    is_audit,
    thumbnails_path,
)
from bench.data.catalogue import Dataset, Folders, load_catalogue
from bench.data.fetch import source_content
from bench.data.present import installed_path, present_source
from bench.data.problems import CHECKS
from bench.data.receipts import read_receipt
from bench.data.thumbnails import LABELS, thumbnail_grid
from bench.errors import InputError
from bench.files import write_json, write_png
from bench.ownership import is_image_grid, refuse_foreign
from bench.terminal import one_line

REMEDY = "move it away, or give another --out"


def record_audit(
    name: str,
    image_size: int | None,
    out: Path,
    root: Path = Path("."),
    *,
    folders: Folders | None = None,
    max_unpacked_gb: float | None = None,
) -> Audit | None:
    """Audit dataset `name`, write the record `out` and its PNG, and return the audit, or None if the audit failed."""
    catalogue = load_catalogue(root, folders)
    dataset = catalogue.dataset(name)
    refuse_foreign(out, is_audit, REMEDY)
    refuse_foreign(thumbnails_path(out), is_image_grid, REMEDY)
    found, failure, content = None, None, None
    try:
        content = source_content(name, root, catalogue)
        found = audit(
            name,
            image_size,
            root,
            folders=folders,
            max_unpacked_gb=max_unpacked_gb,
            prepared=audited_folder(out),
            with_tiles=True,
        )
    except FileNotFoundError as error:
        failure = f"{error.filename}: no such file"
    except InputError as error:
        failure = str(error)
    image = thumbnail_grid(found.tiles) if found else None
    if image is None:
        thumbnails_path(out).unlink(missing_ok=True)
    else:
        write_png(thumbnails_path(out), image)
    record = AuditRecord(
        format=FORMAT,
        name=name,
        title=dataset.title,
        task=dataset.task,
        image_size=image_size,
        dataset_sha256=dataset_sha256(dataset),
        content_sha256=content,
        source=_source(name, dataset, root),
        licence=dataset.licence,
        terms=dataset.terms,
        citation=dataset.citation,
        preparation=describe_preparation(dataset, image_size),
        expected=expected_counts(dataset),
        failure=None if failure is None else one_line(failure),
    )
    if found is not None:
        record = record.model_copy(update=_results(found))
    write_json(out, record.model_dump(mode="json"))
    return found


def _source(name: str, dataset: Dataset, root: Path) -> str:
    """Return as text the source that provided the files, or all sources of the catalogue if there are no files yet."""
    if dataset.folder is None and installed_path(root, dataset) is not None:
        return describe_source(dataset.manual)
    present = present_source(root, dataset, read_receipt(name, root))
    return "; or ".join(map(describe_source, dataset.sources if present is None else [present]))


def _results(found: Audit) -> dict[str, object]:
    """Return the results of an audit as fields of its record."""
    texts = {kind: found.by_kind.get(kind, []) for kind in CHECKS}
    return {
        "images": found.counts,
        "classes": found.classes,
        "smallest": found.sizes[0] if found.sizes else None,
        "largest": found.sizes[-1] if found.sizes else None,
        "modes": dict(sorted(found.modes.items())),
        "compared": found.compared,
        "checks": {
            kind: Check(count=len(given), examples=tuple(map(one_line, given[:MAX_EXAMPLES])))
            for kind, given in texts.items()
        },
        "errors": len(found.errors),
        "notes": tuple(map(one_line, _other_notes(found)[: 2 * MAX_EXAMPLES])),
        "contact": tuple(LABELS[split] for split, row in found.tiles.items() if row),
    }


def _other_notes(found: Audit) -> list[str]:
    """Return the notes that no check counts."""
    counted = {text for texts in found.by_kind.values() for text in texts}
    return [text for text in found.notes if text not in counted]
