"""State of every dataset: whether its files are here, and if not, what is needed to obtain them.

Nothing is downloaded, verified or imported for this, so that `slim-bench data list` and the plan are fast.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.fetch_job import FetchJob, candidates
from bench.data.present import installed_path, present_source
from bench.data.receipts import read_receipt
from bench.data.sources import SOURCES, Dvc, Hub, Manual, Mirror, download_bytes, label
from bench.runtime.environment import user_cache

HERE, FETCHABLE, MANUAL = "here", "fetchable", "install manually"
TOKEN, TRUST = "needs a token", "needs trust_first_use"


@dataclass(frozen=True)
class DatasetState:
    """State of one dataset.

    Attributes:
        state: HERE, FETCHABLE, TOKEN, TRUST or MANUAL.
        bytes: size of its files, or None if unknown.
        source: short description of the source that is here or that `fetch` would try first.
    """

    name: str
    task: str
    state: str
    bytes: int | None
    source: str
    licence: str

    @property
    def remedy(self) -> str:
        """Return what to do to obtain the dataset; empty if it is here."""
        remedies = {
            FETCHABLE: f"run `slim-bench data fetch {self.name}`",
            TOKEN: "log in with `hf auth login` or set HF_TOKEN",
            TRUST: "set data.trust_first_use to true in config/config.yaml",
            MANUAL: f"`slim-bench data show {self.name}` describes the installation",
        }
        return remedies.get(self.state, "")


def dataset_state(job: FetchJob) -> DatasetState:
    """Return the state of a dataset. Raises InputError if the folder of a user's dataset is missing."""
    receipt = read_receipt(job.name, job.root)
    place = installed_path(job.root, job.dataset)
    if place is not None:
        inside = job.dataset.folder is None
        sizes = [member["bytes"] for member in receipt.get("members", ()) if isinstance(member.get("bytes"), int)]
        size = sum(sizes) if sizes else (place.stat().st_size if place.is_file() else None)
        return _state(job, HERE, size, place.relative_to(job.root).as_posix() if inside else str(place))
    present = present_source(job.root, job.dataset, receipt)
    if present is not None:
        size = sum((job.root / file.local).stat().st_size for file in present.files)
        return _state(job, HERE, size, label(present))
    usable = [source for source in candidates(job) if not _is_absent(job, source)]
    open_ones = [source for source in usable if not _is_gated(source) or has_token()]
    blocked = [source for source in job.dataset.sources if not isinstance(source, Manual) and source not in usable]
    for state, found in ((FETCHABLE, open_ones), (TOKEN, usable), (TRUST, blocked), (MANUAL, job.dataset.sources)):
        if found:
            return _state(job, state, download_bytes(found[0]), label(found[0]))
    raise AssertionError("a dataset has at least one source")


def _state(job: FetchJob, state: str, size: int | None, source: str) -> DatasetState:
    return DatasetState(job.name, job.dataset.task, state, size, source, job.dataset.licence)


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
    """Return whether huggingface_hub would find a token, in its variables or in the file of `hf auth login`."""
    if os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        return True
    home = Path(os.environ.get("HF_HOME") or user_cache() / "huggingface").expanduser()
    return Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser().is_file()
