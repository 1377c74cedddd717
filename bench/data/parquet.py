"""Reads the images of parquet files as the Hugging Face Hub stores them, in a column `image` with bytes and a path.

Rows are read a few at a time. Each image becomes a file. If the paths of all images have file names and these names are
unique, the files get these names. Otherwise, the number of the row is the name. The images are therefore in the order
that a folder of the files would have.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.limits import Budget, Limits
from bench.data.staging import make_temporary, remove_marker
from bench.data.walk import is_system_file
from bench.errors import InputError, writing
from bench.files import check_regular

MAGIC = b"PAR1"
COLUMN = "image"
FILE_NAME = re.compile(r"[\w .()+,=@#~-]{1,200}")
ROWS = 16
"""Number of rows that are decoded at a time."""


def is_parquet(path: Path) -> bool:
    """Return whether a file begins with the magic bytes of parquet."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


@contextmanager
def _convert_parquet_errors(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: damaged parquet file ({detail}); delete it and fetch it again") from None


def read_rows(
    path: Path, max_unpacked_gb: float | None = None, target: Path | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield the suffix and content of each image, in the order of the rows. Raises InputError, which names the file."""
    check_regular(path)
    with _convert_parquet_errors(path):
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            budget = Budget(str(path), Limits.of(path.stat().st_size, max_unpacked_gb), target)
            budget.count_members(file.metadata.num_rows)
            budget.count_bytes(sum(max(0, _column_bytes(file, group)) for group in range(file.num_row_groups)))
            row = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=_columns(path, file), use_threads=False):
                for value in batch.column(0):
                    yield _image(path, row, value.as_py())
                    row += 1


def _columns(path: Path, file: Any) -> list[str]:
    """Return the columns to read. Raises InputError if there is no column of images."""
    import pyarrow

    schema = file.schema_arrow
    kind = schema.field(COLUMN).type if COLUMN in schema.names else None
    if kind is not None and (pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)):
        return [COLUMN]
    if kind is not None and pyarrow.types.is_struct(kind) and "bytes" in [part.name for part in kind]:
        return [COLUMN]
    raise InputError(f"{path}: has no column {COLUMN!r} with the bytes of images; use another file of the repository")


def _column_bytes(file: Any, group: int) -> int:
    """Return the unpacked size in bytes of the images in a row group."""
    row_group = file.metadata.row_group(group)
    columns = [row_group.column(index) for index in range(row_group.num_columns)]
    return sum(part.total_uncompressed_size for part in columns if part.path_in_schema.split(".")[0] == COLUMN)


def _image(path: Path, row: int, value: Any) -> tuple[str, bytes]:
    content, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if not isinstance(content, bytes):
        raise InputError(f"{path}: row {row} contains no image, only a path; use another file of the repository")
    suffix = PurePosixPath(name).suffix.lower() if isinstance(name, str) else ""
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 5 else "", content


def extract_images(paths: Sequence[Path], target: Path, max_unpacked_gb: float | None = None) -> None:
    """Write the images of parquet files to the new folder `target`, which is not created after an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    names = _unique_names(paths)
    partial = make_temporary(target.parent, target.name)
    try:
        count = 0
        for path in paths:
            with writing(target.parent / path.name):
                for suffix, content in read_rows(path, max_unpacked_gb, target=target.parent):
                    (partial / (names[count] if names else f"{count:06d}{suffix}")).write_bytes(content)
                    count += 1
        remove_marker(partial)
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the file name of every image in row order, or [] if a name is missing, invalid or not unique."""
    names: list[str] = []
    for path in paths:
        with _convert_parquet_errors(path):
            names += _names_in(path)
    valid = all(FILE_NAME.fullmatch(name) and not is_system_file(name) for name in names)
    return names if valid and len({name.lower() for name in names}) == len(names) else []


def _names_in(path: Path) -> list[str]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        leaves = [file.schema.column(index).path for index in range(len(file.schema))]
        if f"{COLUMN}.path" not in leaves:
            return [""]
        batches = file.iter_batches(columns=[f"{COLUMN}.path"], use_threads=False)
        cells = [value.as_py() for batch in batches for value in batch.column(0)]
    found = [cell.get("path") if isinstance(cell, dict) else None for cell in cells]
    return [PurePosixPath(name).name if isinstance(name, str) else "" for name in found]
