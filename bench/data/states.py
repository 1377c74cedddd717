"""Determines whether the files of a dataset exist, and the steps that obtain missing files.

No file is downloaded or verified, and no large package is imported, so that `slim-bench data list` and the plan are
fast.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.fetch_job import FetchJob, candidates
from bench.data.present import installed_path, present_source
from bench.data.receipts import read_receipt
from bench.data.sources import SOURCES, Dvc, Hub, Mirror, SourceFile, is_pinned, label
from bench.runtime.environment import user_cache

HERE, FETCHABLE, MANUAL = "here", "fetchable", "install manually"
TOKEN, TRUST = "needs a token", "needs trust_first_use"


@dataclass(frozen=True)
class DatasetState:
    """State of one dataset.

    Attributes:
        state: HERE, FETCHABLE, TOKEN, TRUST or MANUAL.
        source: short description of the source whose files exist, or of the source that `fetch` would try first.
        files: name and size of each file; an unknown size is None. Several datasets may share a file.
    """

    name: str
    task: str
    state: str
    source: str
    files: tuple[tuple[str, int | None], ...]
    licence: str

    @property
    def bytes(self) -> int | None:
        """Size of all files, or None if the size of a file is unknown."""
        sizes = [size for _, size in self.files]
        return None if None in sizes or not sizes else sum(size for size in sizes if size is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, with the total size in place of the files."""
        fields = {"name": self.name, "task": self.task, "state": self.state, "bytes": self.bytes}
        return fields | {"source": self.source, "licence": self.licence, "remedy": self.remedy}

    @property
    def remedy(self) -> str:
        """Return the steps to obtain the dataset; empty if its files exist."""
        remedies = {
            FETCHABLE: f"run `slim-bench data fetch {self.name}`",
            TOKEN: "log in with `hf auth login` or set HF_TOKEN",
            TRUST: "pass --trust-first-use, or set data.trust_first_use to true in config/config.yaml",
            MANUAL: f"`slim-bench data show {self.name}` describes the installation",
        }
        return remedies.get(self.state, "")


def dataset_state(job: FetchJob) -> DatasetState:
    """Return the state of a dataset. The state of a user's dataset whose folder is missing is MANUAL."""
    receipt, folder = read_receipt(job.name, job.root), job.dataset.folder
    if folder is not None and not (job.root / Path(folder.path).expanduser()).exists():
        return _state(job, MANUAL, folder.path, ())
    path = installed_path(job.root, job.dataset)
    if path is not None:
        return _state(job, HERE, _shown_path(job, path), _installed_files(receipt, path))
    present = present_source(job.root, job.dataset, receipt)
    if present is not None:
        sizes = [(file.name, (job.root / file.local).stat().st_size) for file in present.files]
        return _state(job, HERE, label(present), sizes)
    usable = [source for source in candidates(job) if not _is_absent(job, source)]
    accessible = [source for source in usable if not _is_gated(source) or has_token()]
    untrusted = [source for source in job.dataset.sources if not is_pinned(source) and source not in usable]
    state, found = next(
        (state, sources[0])
        for state, sources in (
            (FETCHABLE, accessible),
            (TOKEN, usable),
            (TRUST, untrusted),
            (MANUAL, job.dataset.sources),
        )
        if sources
    )
    return _state(
        job, state, label(found), [(file.name, file.bytes or _recorded_size(job, file)) for file in found.files]
    )


def _recorded_size(job: FetchJob, file: SourceFile) -> int | None:
    recorded = job.recorded(file)
    return recorded.size if recorded else None


def required_action(job: FetchJob) -> str | None:
    """Return the action that `fetch` requires from the user before it can obtain the dataset, or None."""
    state, manual = dataset_state(job), job.dataset.manual
    if state.state in (HERE, FETCHABLE):
        return None
    if job.dataset.folder is not None:
        return f"{job.dataset.folder.path}: no such file or folder"
    remedies = {
        TOKEN: f"{state.remedy}, and accept the terms of {state.source}",
        TRUST: "set data.trust_first_use to true in config/config.yaml, because the publisher states no checksum",
    }
    chosen = [remedies[state.state]] if state.state in remedies else []
    return "; or ".join([*chosen, *([manual.how] if manual else [])]) or state.remedy


def total_bytes(states: Iterable[DatasetState]) -> tuple[int, int]:
    """Return the total size of the files of known size, each counted once, and the number of files of unknown size."""
    sizes = dict(pair for state in states for pair in state.files)
    return sum(size for size in sizes.values() if size is not None), sum(size is None for size in sizes.values())


def _state(job: FetchJob, state: str, source: str, files: Iterable[tuple[str, int | None]]) -> DatasetState:
    return DatasetState(job.name, job.dataset.task, state, source, tuple(files), job.dataset.licence)


def _shown_path(job: FetchJob, path: Path) -> str:
    return str(path) if job.dataset.folder is not None else path.relative_to(job.root).as_posix()


def _installed_files(receipt: Mapping[str, Any], path: Path) -> list[tuple[str, int | None]]:
    """Return the name and size of an installed file, or of each image that the receipt lists."""
    if path.is_file():
        return [(path.name, path.stat().st_size)]
    members = [(f"{path}/{member['name']}", member.get("bytes")) for member in receipt.get("members", ())]
    return [(name, size if isinstance(size, int) else None) for name, size in members]


def _is_absent(job: FetchJob, source: Any) -> bool:
    """Return whether a mirror or a DVC remote evidently lacks the files of a source."""
    if isinstance(source, Dvc):
        return not all((job.root / file.pointer).is_file() for file in source.files)
    if not isinstance(source, Mirror):
        return False
    folder = job.root / Path(job.settings.mirror or SOURCES).expanduser()
    names = [source.place] if source.place and not source.files else [file.name for file in source.files]
    has_folder = source.place is not None and (folder / source.place).is_dir()
    return not has_folder and not all((folder / str(name)).exists() for name in names)


def _is_gated(source: Any) -> bool:
    return isinstance(source, Hub) and source.gated


def has_token() -> bool:
    """Return whether huggingface_hub would find a token, in environment variables or in the file of `hf auth login`."""
    if os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        return True
    home = Path(os.environ.get("HF_HOME") or user_cache() / "huggingface").expanduser()
    return Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser().is_file()
