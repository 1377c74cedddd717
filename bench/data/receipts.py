"""Receipts, data/sources/NAME.json, which list the downloaded or installed files of a dataset with their hashes."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.data.sources import SOURCES
from bench.errors import InputError
from bench.files import read_json
from bench.schema import parse_strict


class FileReceipt(BaseModel):
    """Entry of one file in a receipt. Fields other than these are allowed and not validated."""

    model_config = ConfigDict(strict=True, extra="allow")
    name: str
    sha256: str


class Receipt(BaseModel):
    """Validated fields of a receipt. Other fields are allowed."""

    model_config = ConfigDict(strict=True, extra="allow")
    place: str | None = None
    entry_sha256: str | None = None
    content_sha256: str | None = None
    files: list[FileReceipt] = []
    members: list[FileReceipt] = []


def receipt_path(name: str) -> Path:
    """Return the path of the receipt, relative to the project root."""
    return SOURCES / f"{name}.json"


def read_receipt(name: str, root: Path = Path(".")) -> dict[str, Any]:
    """Return the receipt of dataset `name`.

    A missing or damaged receipt is read as empty, so that `fetch` creates it again.
    """
    path = root / receipt_path(name)
    try:
        return parse_strict(Receipt, read_json(path), path).model_dump(exclude_unset=True) if path.exists() else {}
    except InputError:
        return {}
