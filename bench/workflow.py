"""What the Snakefile asks: functions from wildcards to paths, hashes and numbers, so that rules hold no logic."""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from bench.code_digest import code_digest
from bench.data.catalogue import Folder
from bench.data.fetch import receipt_path
from bench.devices import visible_devices
from bench.errors import InputError
from bench.files import sha256_json
from bench.metrics.names import METRICS
from bench.paths import RESULTS
from bench.plan import Plan
from bench.run import Run

DEFAULT = "demo"
LPIPS_TRUNK, LPIPS_HEADS = "vgg16-torchvision", "lpips-vgg16-heads"
PERCEPTUAL_WEIGHTS = {"lpips-vgg16": (LPIPS_TRUNK, LPIPS_HEADS)}


class WorkflowPlan(Plan):
    """The plan as the rules see it; `w` are a job's wildcards."""

    @classmethod
    def open(cls, config: Mapping[str, Any]) -> "WorkflowPlan":
        """Read the configuration as Snakemake merged it; a mistake in it ends Snakemake with one line."""
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # venv not activated
        try:
            return cls.load(config)
        except InputError as error:
            raise SystemExit(f"slim-bench: error: {error}") from None

    @property
    def gpus(self) -> int:
        return len(visible_devices())

    @property
    def gpus_per_job(self) -> int:
        """Local jobs ask for a GPU only where there is one; cluster profiles set it themselves."""
        return min(1, self.gpus)

    def limit_gpus(self, workflow: Any) -> None:
        """Jobs of this machine share its GPUs; those of a cluster, whose profile says how many a rule gets, do not.

        Snakemake clips every request to the limit: that of a head node without a GPU would leave each job with none.
        """
        asked = workflow.resource_settings.overwrite_resources.values()  # --set-resources, also passed on to the nodes
        if not any("gpu" in given for given in asked):
            workflow.global_resources.setdefault("gpu", self.gpus)

    @property
    def report_scale(self) -> str:
        return self.configuration.settings.scale or DEFAULT

    # ---- data ----------------------------------------------------------------------------------------------------

    def pointers(self, w: Any) -> list[str]:
        """The .dvc files of a data set: their hash changes when the data do, their time does not matter."""
        files = self.configuration.catalogue.dataset(w.dataset).source.files
        return [file.pointer.as_posix() for file in files if file.pointer.exists()]

    def entry(self, w: Any) -> str:
        """Hash of a data set's catalogue entry, and for a user's folder of the names, sizes and times in it."""
        dataset = self.configuration.catalogue.dataset(w.dataset)
        described = dataset.model_dump(mode="json", include={"source", "preparation", "layout", "task", "n", "n_test"})
        files = [file.name for file in dataset.source.files]
        pins = {name: value for name, value in self.configuration.catalogue.pins.items() if name in files}
        seen = _listing(Path(dataset.source.path).expanduser()) if isinstance(dataset.source, Folder) else []
        return sha256_json([described, pins, seen])

    def folder_option(self, w: Any) -> str:
        """A user's data set has to be told to the command; the catalogue's are known to it."""
        given = self.folders.get(w.dataset)
        return "" if given is None else "--folder " + shlex.quote(f"{w.dataset}={_flow(given)}")

    def receipt(self, w: Any) -> str:
        return receipt_path(w.dataset).as_posix()

    def weights(self, needed: Iterable[str]) -> list[str]:
        """Marks of trained weights that have to be fetched; those inside an installed package do not."""
        known = self.configuration.catalogue.weights
        return [f"data/sources/{name}.fetched" for name in sorted(set(needed)) if known[name].package is None]

    def training_weights(self, w: Any) -> list[str]:
        perceptual = getattr(self.run_of(w).recipe, "perceptual", None)
        return self.weights(PERCEPTUAL_WEIGHTS.get(perceptual, ()))

    def scoring_weights(self, w: Any) -> list[str]:
        kinds = [METRICS[name] for name in self.run_of(w).evaluation.metrics]
        needed = [kind.weights for kind in kinds if kind.weights]
        return self.weights([*needed, *([LPIPS_HEADS] if LPIPS_TRUNK in needed else [])])

    # ---- runs ----------------------------------------------------------------------------------------------------

    def run_of(self, w: Any) -> Run:
        return self.run(w.scale, w.experiment, w.dataset, int(w.seed))

    def description_hash(self, w: Any) -> str:
        return self.run_of(w).description_hash

    def training_hash(self, w: Any) -> str:
        return self.run_of(w).hash

    def manifest(self, w: Any) -> str:
        return f"{self.run_of(w).data.path}/manifest.json"

    def threads(self, w: Any) -> int:
        return self.run_of(w).compute.threads or 1

    # ---- suites and the report -----------------------------------------------------------------------------------

    def targets(self, suite: str) -> list[str]:
        """What a suite's target asks for: its models and scores, and a report that has seen them.

        Models are named although scores follow from them: Snakemake makes no lost file again that lies in between.
        """
        try:
            folders = [self.folder_of(run) for run in self.runs(suite)]
        except InputError as error:
            raise SystemExit(f"slim-bench: error: {error}") from None
        made = [f"{folder}/{name}" for folder in folders for name in ("model.json", "scores")]
        return [self.marker(suite), *made, f"{RESULTS}/{self.scale_of(suite)}/report/index.html"]

    def scores(self, suite: str) -> list[str]:
        return [f"{self.folder_of(run)}/scores" for run in self.runs(suite)]

    def marker(self, suite: str) -> str:
        return f"{RESULTS}/{self.scale_of(suite)}/suites/{suite}.finished"

    def finished(self, targets: Iterable[str], w: Any) -> list[str]:
        """Markers of the suites among Snakemake's targets: an order, not data. Without one nothing is waited for."""
        suites = sorted(set(targets or [DEFAULT]) & set(self.suites))
        return [self.marker(suite) for suite in suites if self.scale_of(suite) == w.scale]

    @property
    def collect_options(self) -> str:
        return "--allow-mixed-code" if self.configuration.settings.allow_mixed_code else ""

    def code(self, *modules: str) -> str:
        """Digest of the code that cheap jobs run: they run again when it changes."""
        return code_digest(*modules)


def clear_stale_lock(folder: Path = Path(".snakemake")) -> IO[str]:
    """Remove the locks that a killed Snakemake left; keep the returned file open for as long as this one lives.

    Snakemake's own locks are files that outlive a SIGKILL and do not say whose they are. Every Snakemake here shares a
    kernel lock, which dies with its process: whoever can have it alone is the only one, so all lock files are stale.
    """
    folder.mkdir(exist_ok=True)
    own = (folder / "slim-bench.lock").open("a")
    try:
        fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in (folder / "locks").glob("*.lock"):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    fcntl.flock(own, fcntl.LOCK_SH)
    return own


def _listing(path: Path) -> list[Any]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [(file, file.stat()) for file in files if file.is_file()]
    return [[file.as_posix(), status.st_size, status.st_mtime_ns] for file, status in found]


def _flow(given: Mapping[str, Any]) -> str:
    """A mapping in one line of YAML."""
    import yaml

    return yaml.safe_dump(dict(given), default_flow_style=True, width=100000).strip()
