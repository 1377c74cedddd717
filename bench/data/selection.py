"""Selects the images of a dataset to prepare, either the first images by name or the images of a committed list."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bench.data.catalogue import Preparation
from bench.errors import InputError
from bench.files import read_text, sha256_file

Keep = Callable[[list[str]], list[str]]
"""Sorted names of the images found -> names of the images to use."""


def selected_names(preparation: Preparation, root: Path = Path(".")) -> Keep:
    """Return the function that selects images by `names` and `first`. Raises InputError for a changed list."""
    wanted = None if preparation.names is None else _read_list(preparation, root)

    def keep(found: list[str]) -> list[str]:
        if wanted is not None:
            found = [name for name in found if PurePosixPath(name).name in wanted]
            missing = sorted(wanted - {PurePosixPath(name).name for name in found})
            if missing:
                raise InputError(
                    f"{_list_path(preparation, root)}: {len(missing)} of {len(wanted)} images are missing in the "
                    f"source, such as {missing[0]}; install the complete dataset"
                )
        return found[: preparation.first]

    return keep


def _list_path(preparation: Preparation, root: Path) -> Path:
    return Path(root) / (preparation.names.file if preparation.names else "")


def _read_list(preparation: Preparation, root: Path) -> set[str]:
    path = _list_path(preparation, root)
    found = sha256_file(path)
    expected = preparation.names.sha256 if preparation.names else ""
    if found != expected:
        raise InputError(
            f"{path}: sha256 is {found}, but {expected} is expected; restore the list, or change "
            "preparation.names.sha256 in config/datasets.yaml"
        )
    return {line.strip() for line in read_text(path).splitlines() if line.strip()}
