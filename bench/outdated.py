"""Determines by content, never by modification time, which outputs of the workflow are outdated, and why.

Snakemake's triggers compare modification times, and Snakemake deletes an output before it recreates it. A touched
archive, a wrong clock or a copied results folder would therefore delete finished runs. This module compares recorded
descriptions and hashes with current ones, and does not need Snakemake's metadata. A missing output is not outdated.
Snakemake detects missing outputs, with the help of bench.outdated_inputs. This module does not import torch.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

from bench.code_digest import code_digest
from bench.data.audit_record import audit_outdated_reason, audit_path
from bench.data.content import entry_sha256, preparation_sha256
from bench.data.fetch import source_content
from bench.data.manifest import MANIFEST, read_manifest
from bench.data.receipts import read_receipt, receipt_path
from bench.errors import InputError
from bench.files import read_mapping
from bench.frozen import current_hashes, outdated_reason
from bench.input_hashes import (
    COLLECTED,
    COMPLETE,
    RENDERED,
    collected_from,
    file_digest,
    read_complete,
    rendered_from,
    scored_sha256,
)
from bench.ownership import is_complete_weights
from bench.paths import META, RESULTS, WEIGHTS
from bench.plan import Plan
from bench.run import Run
from bench.score import score_path
from bench.training_record import read_trained

Check = Callable[..., str | None]


def _error_as_reason(check: Check) -> Check:
    """Wrap `check` to return the error of an unreadable file as the reason. Planning must not fail on damaged files."""

    @wraps(check)
    def checked(*arguments: Any) -> str | None:
        try:
            return check(*arguments)
        except InputError as error:
            return str(error)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"

    return checked


class Outdated:
    """Checks of the outputs of `plan`. Each check returns the reason if the output is outdated, otherwise None."""

    def __init__(self, plan: Plan):
        self.plan, self.root = plan, plan.configuration.root
        self._content = cache(self._present_content)
        self._models: dict[Path, str | None] = {}

    @_error_as_reason
    def source(self, name: str) -> str | None:
        """Check the receipt of a downloaded dataset."""
        path = self.root / receipt_path(name)
        if not _exists(path):
            return None
        receipt = read_mapping(path)
        if not receipt:
            return f"{path} cannot be read"
        if receipt.get("entry_sha256") != entry_sha256(self.plan.configuration.catalogue, name, self.root):
            return f"the source of {name} in config/datasets.yaml has changed"
        if self._content(name) != receipt.get("content_sha256"):
            return f"the files of {name} have changed"
        return None

    def _present_content(self, name: str) -> str | None:
        """Return the hash of a dataset's current source files, or the recorded hash if the files were removed."""
        try:
            return source_content(name, self.root, self.plan.configuration.catalogue)
        except (FileNotFoundError, InputError):
            return read_receipt(name, self.root).get("content_sha256")

    @_error_as_reason
    def prepared(self, path: str, name: str) -> str | None:
        """Check the prepared dataset `name` in folder `path`."""
        manifest_path = Path(path) / MANIFEST
        if not _exists(manifest_path):
            return None
        made_from = read_manifest(Path(path)).made_from
        preparation = preparation_sha256(self.plan.configuration.catalogue.dataset(name))
        if made_from is None or made_from.preparation_sha256 != preparation:
            return f"the preparation of {name} in config/datasets.yaml has changed"
        if made_from.content_sha256 != self._content(name):
            return f"the files of {name} have changed"
        return None

    def audit(self, path: str, name: str) -> str | None:
        """Check the audit record of the prepared dataset `name` in folder `path`."""
        record = audit_path(path)
        if not _exists(record):
            return None
        return audit_outdated_reason(record, self.plan.configuration.catalogue.dataset(name), self._content(name))

    @_error_as_reason
    def description(self, run: Run) -> str | None:
        """Check run.json of a run."""
        folder = self.plan.folder_of(run)
        return outdated_reason(run, folder) if _exists(folder / "run.json") else None

    def model(self, run: Run) -> str | None:
        """Check model.json and the weights that it records."""
        folder = self.plan.folder_of(run)
        if folder not in self._models:
            self._models[folder] = self._model(run, folder)
        return self._models[folder]

    @_error_as_reason
    def _model(self, run: Run, folder: Path) -> str | None:
        path = folder / META
        if not _exists(path):
            return None
        model = read_trained(path)
        if model.run_sha256 not in current_hashes(run, folder):
            return f"{folder} was trained with another configuration or version"
        if model.status == "ok" and not is_complete_weights(folder / WEIGHTS):
            return f"{folder / WEIGHTS} is missing or damaged"
        manifest = read_mapping(Path(run.data.path) / MANIFEST)
        if manifest and model.data_sha256 != manifest.get("sha256"):
            return f"{folder} was trained on data that differ from {run.data.path}"
        return self.prepared(run.data.path, run.dataset)

    @_error_as_reason
    def scores(self, run: Run) -> str | None:
        """Check the score files of a run."""
        folder = self.plan.folder_of(run)
        path = folder / "scores" / COMPLETE
        if not _exists(path):
            return None
        complete = read_complete(path.parent)
        if complete.code_sha256 != code_digest("bench.evaluate.run"):
            return f"the code that computed {folder}/scores has changed"
        model = read_mapping(folder / META)
        made_from = run.evaluation, model.get("model_sha256"), model.get("data_sha256")
        if complete.scored_sha256 not in {scored_sha256(sha256, *made_from) for sha256 in current_hashes(run, folder)}:
            return f"{folder}/scores were computed with other settings, or from other weights"
        planned = {score_path(path.parent, metric).name: None for metric in run.evaluation.metrics}
        for name, digest in (planned | complete.files).items():
            if digest is None or file_digest(path.parent / name) != digest:
                return f"{path.parent / name} is missing or damaged"
        return self.model(run)

    def suite(self, marker: Path, runs: Iterable[Run]) -> str | None:
        """Check `marker`, the file that is written after all `runs` of a suite have been scored."""
        return self._unfinished(runs) if _exists(marker) else None

    def _unfinished(self, runs: Iterable[Run]) -> str | None:
        for run in runs:
            folder = self.plan.folder_of(run)
            if not (folder / "scores" / COMPLETE).exists() or not (folder / "model.json").exists():
                return f"{folder} has no scores yet"
            if reason := self.description(run) or self.model(run) or self.scores(run):
                return reason
        return None

    @_error_as_reason
    def table(self, scale: str, runs: Iterable[Run], allow_mixed_code: bool) -> str | None:
        """Check scores.csv of a scale. The table depends on `runs`."""
        folder = RESULTS / scale
        if not _exists(folder / "scores.csv"):
            return None
        if reason := self._unfinished(runs):
            return reason
        record = read_mapping(folder / COLLECTED)
        if record.get("made_from") != collected_from(folder, allow_mixed_code):
            return f"{folder} contains other runs or scores than {folder}/scores.csv"
        if record.get("sha256") != file_digest(folder / "scores.csv"):
            return f"{folder}/scores.csv is damaged"
        return None

    @_error_as_reason
    def page(self, scale: str, page: str, audits: Iterable[Path] = ()) -> str | None:
        """Check the tables, figures and page of a scale. The page shows the audit records `audits`."""
        folder = RESULTS / scale
        if not _exists(folder / page) or not (folder / "scores.csv").exists():
            return None
        missing = [path for path in audits if not path.exists()]
        if missing:
            return f"{missing[0]} is missing"
        record = read_mapping(folder / RENDERED)
        if record.get("made_from") == rendered_from(folder):
            return None
        return f"{folder}/scores.csv, the claims or the published values have changed since the page was written"


def reset_future_time(path: Path) -> None:
    """Reset the modification time of an output file to now if a wrong clock set it in the future.

    Snakemake treats an output that is older than its input as broken, and deletes it.
    """
    with suppress(OSError):  # missing or not writable
        if path.stat().st_mtime > time.time():
            os.utime(path)


def _exists(path: Path) -> bool:
    reset_future_time(path)
    return path.exists()
