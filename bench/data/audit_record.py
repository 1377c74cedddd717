"""The record of an audit, data/prepared/NAME-SIZE.audit.json, and a PNG with images, both for the report.

The workflow writes both files next to the prepared dataset, and never changes the dataset itself.
"""

from pathlib import Path
from typing import Any

from pydantic import Field

from bench.data.catalogue import Dataset
from bench.data.sources import Download, Folder, Hub, Manual, Raw, Shipped, label
from bench.errors import InputError
from bench.files import read_json, read_mapping, sha256_json
from bench.ownership import is_truncated
from bench.paths import AUDIT_SUFFIX
from bench.schema import Strict, Task, parse_strict

FORMAT = 1
"""Version of the record's format. The workflow repeats an audit whose record has another version."""
MAX_EXAMPLES = 10


class Check(Strict):
    """Number of files with one kind of problem, and up to MAX_EXAMPLES messages."""

    count: int = 0
    examples: tuple[str, ...] = ()


class AuditRecord(Strict):
    """Result of an audit.

    `errors` are problems that `prepare` refuses or that harm training, and `notes` are informational.
    """

    format: int
    name: str
    title: str
    task: Task
    image_size: int | None
    dataset_sha256: str = Field(description="hash of the entry in the catalogue")
    content_sha256: str | None = Field(description="content hash of the source; null if it cannot be read")
    source: str
    licence: str
    terms: str | None = None
    citation: str | None = None
    preparation: str = Field(description="the preparation as a sentence")
    images: dict[str, int] = Field({}, description="split -> number of readable images")
    expected: dict[str, int] = Field({}, description="split -> number of images in the catalogue")
    classes: int | None = None
    smallest: tuple[int, int] | None = Field(None, description="width and height in pixels")
    largest: tuple[int, int] | None = None
    modes: dict[str, int] = Field({}, description="colour mode -> number of images")
    compared: int = Field(0, description="number of images searched for near duplicates")
    checks: dict[str, Check] = Field({}, description="kind of problem -> number and examples; see bench.data.problems")
    errors: int = 0
    notes: tuple[str, ...] = ()
    failure: str | None = Field(None, description="reason why the dataset could not be audited")
    contact: tuple[str, ...] = Field((), description="labels of the rows of images in the PNG")


def audit_path(prepared: Path | str) -> Path:
    """Return the path of the audit record of the prepared dataset in the folder `prepared`."""
    return Path(f"{prepared}{AUDIT_SUFFIX}")


def audited_folder(record: Path) -> Path | None:
    """Return the folder of the prepared dataset that a record describes, or None for a path of another form."""
    prepared = str(record).removesuffix(AUDIT_SUFFIX)
    return None if prepared == str(record) else Path(prepared)


def thumbnails_path(record: Path) -> Path:
    """Return the path of the PNG with images of the dataset, next to `record`."""
    return record.with_suffix(".png")


def read_audit(path: Path) -> AuditRecord:
    """Read a record. Raises InputError if it is missing, damaged or of another version."""
    return parse_strict(AuditRecord, read_json(path), path)


def is_audit(path: Path) -> bool:
    """Return whether a file is a record of an audit, possibly truncated or of another version."""
    return read_mapping(path).keys() >= {"dataset_sha256", "checks"} or is_truncated(path, '"format": ')


def dataset_sha256(dataset: Dataset) -> str:
    return sha256_json(dataset.model_dump(mode="json"))


def describe_source(source: Any) -> str:
    """Return one source of a dataset as text, without the user's paths."""
    if isinstance(source, Folder):
        return f"a folder or file of the user ({Path(source.path).name})"
    if isinstance(source, Hub):
        kind = "datasets/" if source.repo_type == "dataset" else ""
        paths = ", ".join(file.path or file.name for file in source.files)
        return f"https://huggingface.co/{kind}{source.repo}, commit {source.revision}: {paths}"
    if isinstance(source, Raw | Download):
        return ", ".join(file.url or file.name for file in source.files)
    if isinstance(source, Shipped):
        return f"{source.file.name}, part of slim-bench"
    if isinstance(source, Manual):
        return f"installed manually: {source.how}"
    return label(source)


def describe_preparation(dataset: Dataset, image_size: int | None) -> str:
    """Return a text that describes the conversion of images to arrays."""
    preparation = dataset.preparation
    size = "original size" if image_size is None else f"{image_size} px"
    if dataset.layout in ("imagefolder", "imagenet"):
        return f"listed, not copied; decoded and cropped to {size} while training"
    if preparation.fit == "pad":
        kept = f"; the first {preparation.per_class} images of each class" if preparation.per_class else ""
        return f"padded with zeros to {size}, not resized{kept}"
    colours = f"RGB, on #{bytes(preparation.background).hex()} if transparent"
    if image_size is None:
        return f"original size; {colours}"
    fit = f"centre crop to {size}" if preparation.fit == "crop" else f"original aspect ratio, longest side {size}"
    upscaled = ", upscaled if smaller" if preparation.upscale else ""
    return f"{fit}, {preparation.resample} filter with antialiasing{upscaled}; {colours}"


def expected_counts(dataset: Dataset) -> dict[str, int]:
    """Return the number of images that the catalogue states for each split."""
    if dataset.task != "classification":
        known = 1 if dataset.task == "oneshot" else dataset.n
        return {} if known is None else {"images": known}
    counts = {"train": dataset.n, "test": dataset.n_test}
    per_class, classes = dataset.preparation.per_class, dataset.classes
    max_images = per_class * classes if per_class and classes else None
    return {split: n if max_images is None else min(n, max_images) for split, n in counts.items() if n is not None}


def audit_outdated_reason(path: Path, dataset: Dataset, content_sha256: str | None) -> str | None:
    """Return the reason why an existing record must be written again, or None."""
    try:
        record = read_audit(path)
    except InputError as error:
        return str(error)
    if record.format != FORMAT:
        return f"{path} has another version"
    if record.dataset_sha256 != dataset_sha256(dataset):
        return f"the entry of {record.name} in config/datasets.yaml has changed"
    if record.content_sha256 != content_sha256:
        return f"the files of {record.name} have changed"
    return None
