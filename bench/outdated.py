"""Which outputs of the workflow are out of date, and why. Content decides: no file's time is looked at.

Snakemake's own triggers compare times, and deletes an output before it makes it again. A touched archive, a wrong clock
or a copied results folder would so cost finished runs. Here a recorded description or hash is compared with the
present one, in files that also say so without Snakemake's own metadata. An output that does not exist is not
outdated but missing, which Snakemake sees by itself. No torch.
"""

import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bench.code_digest import code_digest
from bench.data.content import entry_sha256, preparation_sha256
from bench.data.fetch import read_receipt, receipt_path, source_content
from bench.data.manifest import MANIFEST
from bench.errors import InputError
from bench.files import read_mapping, sha256_file
from bench.made_from import COLLECTED, COMPLETE, RENDERED, collected_from, rendered_from, scored_sha256
from bench.paths import RESULTS
from bench.plan import Plan
from bench.run import Run, read_run


class Outdated:
    """Reasons to make outputs of `plan` again; None where an output is current or missing."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._content = cache(self._present_content)
        self._models: dict[Path, str | None] = {}

    def source(self, name: str) -> str | None:
        """The receipt of a fetched dataset."""
        if not _exists(receipt_path(name)):
            return None
        catalogue = self.plan.configuration.catalogue
        receipt = read_mapping(receipt_path(name))
        if not receipt:
            return f"{receipt_path(name)} cannot be read"
        if receipt.get("entry_sha256") != entry_sha256(catalogue, name):
            return f"the source of {name} in config/datasets.yaml has changed"
        if self._content(name) != receipt.get("content_sha256"):
            return f"the files of {name} have changed"
        return None

    def _present_content(self, name: str) -> str | None:
        """Content of a dataset's source now; of a source that was removed after its preparation, as it was fetched."""
        try:
            return source_content(name, Path("."), self.plan.configuration.catalogue)
        except (FileNotFoundError, InputError):
            return read_receipt(name).get("content_sha256")

    def prepared(self, path: str, name: str) -> str | None:
        """The prepared dataset `name` in folder `path`."""
        manifest_path = Path(path) / MANIFEST
        if not _exists(manifest_path):
            return None
        manifest = read_mapping(manifest_path)
        if not manifest:
            return f"{manifest_path} cannot be read"
        made_from = manifest.get("made_from") or {}
        if made_from.get("preparation_sha256") != preparation_sha256(self.plan.configuration.catalogue.dataset(name)):
            return f"the preparation of {name} in config/datasets.yaml has changed"
        if made_from.get("content_sha256") != self._content(name):
            return f"the files of {name} have changed"
        return None

    def description(self, run: Run) -> str | None:
        """run.json of a run."""
        path = self.plan.folder_of(run) / "run.json"
        if not _exists(path):
            return None
        try:
            frozen = read_run(path)
        except InputError as error:
            return str(error)
        return None if frozen == run else f"{path} differs from the configuration"

    def model(self, run: Run) -> str | None:
        """model.json and the weights it tells of."""
        folder = self.plan.folder_of(run)
        if folder not in self._models:
            self._models[folder] = self._model(run, folder)
        return self._models[folder]

    def _model(self, run: Run, folder: Path) -> str | None:
        path = folder / "model.json"
        if not _exists(path):
            return None
        model = read_mapping(path)
        if not model:
            return f"{path} cannot be read"
        if model.get("run_sha256") != run.hash:
            return f"{folder} was trained by another configuration or version"
        if model.get("status") == "ok" and not (folder / "model.safetensors").exists():
            return f"{folder}/model.safetensors is missing"
        manifest = read_mapping(Path(run.data.path) / MANIFEST)
        if manifest and model.get("data_sha256") != manifest.get("sha256"):
            return f"{folder} was trained on other data than {run.data.path} holds"
        return self.prepared(run.data.path, run.dataset)

    def scores(self, run: Run) -> str | None:
        """The score files of a run."""
        folder = self.plan.folder_of(run)
        path = folder / "scores" / COMPLETE
        if not _exists(path):
            return None
        record = read_mapping(path)
        if not record:
            return f"{path} cannot be read"
        if record.get("code_sha256") != code_digest("bench.evaluate.run"):
            return f"the code that made {folder}/scores has changed"
        model = read_mapping(folder / "model.json")
        if record.get("scored_sha256") != scored_sha256(run, model.get("model_sha256"), model.get("data_sha256")):
            return f"{folder}/scores were computed with other settings, or from other weights"
        for name, digest in record.get("files", {}).items():
            if not (path.parent / name).is_file() or sha256_file(path.parent / name) != digest:
                return f"{path.parent / name} is missing or damaged"
        return self.model(run)

    def suite(self, marker: Path, runs: Iterable[Run]) -> str | None:
        """`marker`, which says that all `runs` of a suite have been scored."""
        return self._unfinished(runs) if _exists(marker) else None

    def _unfinished(self, runs: Iterable[Run]) -> str | None:
        for run in runs:
            folder = self.plan.folder_of(run)
            if not (folder / "scores" / COMPLETE).exists() or not (folder / "model.json").exists():
                return f"{folder} has no scores yet"
            if reason := self.description(run) or self.model(run) or self.scores(run):
                return reason
        return None

    def table(self, scale: str, runs: Iterable[Run], allow_mixed_code: bool) -> str | None:
        """scores.csv of a scale, which waits for `runs`."""
        folder = RESULTS / scale
        if not _exists(folder / "scores.csv"):
            return None
        if reason := self._unfinished(runs):
            return reason
        record = read_mapping(folder / COLLECTED)
        if record.get("made_from") != collected_from(folder, allow_mixed_code):
            return f"{folder} holds other runs or scores than {folder}/scores.csv"
        if record.get("sha256") != sha256_file(folder / "scores.csv"):
            return f"{folder}/scores.csv is damaged"
        return None

    def page(self, scale: str, page: str) -> str | None:
        """Tables, figures and page of a scale."""
        folder = RESULTS / scale
        if not _exists(folder / page) or not (folder / "scores.csv").exists():
            return None
        record = read_mapping(folder / RENDERED)
        if record.get("made_from") == rendered_from(folder):
            return None
        return f"{folder}/scores.csv, the claims or the published values have changed since the page was made"


def settle(path: Path) -> None:
    """Bring the time of one of our files back to now where a wrong clock put it into the future.

    Snakemake takes an output that is older than its input for broken, and deletes it.
    """
    try:
        if path.stat().st_mtime > time.time():
            os.utime(path)
    except FileNotFoundError:
        pass


def _exists(path: Path) -> bool:
    settle(path)
    return path.exists()
