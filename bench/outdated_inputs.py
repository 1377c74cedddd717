"""Computes the inputs that make Snakemake renew outdated outputs, and all outputs that depend on outdated outputs.

All other inputs are `ancient`, so Snakemake reruns no job because of modification times. The job of an outdated output
has one additional input, which the rule note_outdated creates from a file with the reason. This input is newer than the
output, so Snakemake reruns the job.

Snakemake detects a missing output itself, except if an input of the output's job is being renewed. In that case
Snakemake skips the jobs after the renewed input, and `ancient` prevents the renewal from starting them. The job of a
missing output therefore also has the additional inputs of all outdated outputs on which it depends. This module does
not import torch.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.audit_record import audit_path
from bench.data.catalogue import prepared_path
from bench.data.manifest import MANIFEST
from bench.data.receipts import receipt_path
from bench.files import write_text
from bench.input_hashes import COMPLETE
from bench.paths import META, RESULTS
from bench.report.outputs import PAGE
from bench.run import Run
from bench.terminal import one_line

OUTDATED_REASONS, REASON_PREFIX = RESULTS / ".outdated", "outdated since"


class DatasetWildcards(NamedTuple):
    """Wildcards of the rule that downloads a dataset."""

    dataset: str


class PreparedWildcards(NamedTuple):
    """Wildcards of the rules that prepare and audit a dataset."""

    dataset: str
    size: str


class RunWildcards(NamedTuple):
    """Wildcards of the rules that freeze, train and score a run."""

    scale: str
    experiment: str
    dataset: str
    seed: str


class SuiteWildcards(NamedTuple):
    """Wildcards of the rule that records that all runs of a suite are scored."""

    scale: str
    suite: str


class OutdatedInputs:
    """The additional inputs of all jobs of a WorkflowPlan. A rule and its wildcards identify a job."""

    def __init__(self, plan: Any):
        self.plan = plan
        self._reasons: dict[tuple[str, ...], str | None] = {}
        self._printed: set[str] = set()

    def of(self, rule: str, w: Any) -> list[str]:
        """Return the outputs of note_outdated that a job needs. For each output, a file with the reason is written."""
        if self._reason(rule, w) is not None:
            return [self._write_reason(rule, w)]
        if self._output(rule, w).exists():
            return []
        renewed = {
            self._write_reason(*job): None for job in self._jobs_before(rule, w) if self._reason(*job) is not None
        }
        return list(renewed)

    def _reason(self, rule: str, w: Any) -> str | None:
        key = (rule, *map(str, w))
        if key not in self._reasons:
            self._reasons[key] = self._checked(rule, w)
        return self._reasons[key]

    def _checked(self, rule: str, w: Any) -> str | None:
        outdated, plan = self.plan.outdated, self.plan
        checks: dict[str, Callable[[], str | None]] = {
            "fetch": lambda: outdated.source(w.dataset),
            "prepare": lambda: outdated.prepared(prepared_folder(w), w.dataset),
            "audit": lambda: outdated.audit(prepared_folder(w), w.dataset),
            "freeze": lambda: outdated.description(plan.run_of(w)),
            "train": lambda: outdated.model(plan.run_of(w)),
            "evaluate": lambda: outdated.scores(plan.run_of(w)),
            "finish": lambda: outdated.suite(Path(plan.marker(w.suite)), plan.runnable(w.suite)),
            "collect": lambda: self._table(w),
            "render": lambda: self._table(w) or self._page(w),
        }
        return checks[rule]()

    def _table(self, w: Any) -> str | None:
        runs = [run for suite in self._suites(w) for run in self.plan.runnable(suite)]
        return self.plan.outdated.table(w.scale, runs, self.plan.configuration.settings.allow_mixed_code)

    def _page(self, w: Any) -> str | None:
        runs = {run.data.path: run for suite in self._suites(w) for run in self.plan.runnable(suite)}
        outdated = self.plan.outdated
        audits = (outdated.audit(path, run.dataset) for path, run in runs.items())
        return next(filter(None, audits), None) or outdated.page(w.scale, PAGE, map(audit_path, runs))

    def _suites(self, w: Any) -> list[str]:
        return [suite for suite in self.plan.requested_suites if self.plan.scale_of(suite) == w.scale]

    def _output(self, rule: str, w: Any) -> Path:
        """Return the declared output of a job. For a report, that is the page."""
        match rule:
            case "fetch":
                return self.plan.configuration.root / receipt_path(w.dataset)
            case "prepare":
                return Path(prepared_folder(w)) / MANIFEST
            case "audit":
                return audit_path(prepared_folder(w))
            case "finish":
                return Path(self.plan.marker(w.suite))
            case "collect" | "render":
                return RESULTS / w.scale / ("scores.csv" if rule == "collect" else PAGE)
            case _:
                names = {"freeze": "run.json", "train": META, "evaluate": f"scores/{COMPLETE}"}
                return self.plan.folder_of(self.plan.run_of(w)) / names[rule]

    def _jobs_before(self, rule: str, w: Any) -> Iterator[tuple[str, Any]]:
        """Yield all jobs on whose outputs the output of a job depends."""
        before: list[tuple[str, Any]] = []
        match rule:
            case "prepare":
                before = [("fetch", DatasetWildcards(w.dataset))]
            case "audit":
                before = [("fetch", DatasetWildcards(w.dataset)), ("prepare", w)]
            case "train":
                before = [("freeze", w), ("prepare", _prepared_of(self.plan.run_of(w)))]
            case "evaluate":
                before = [("train", w)]
            case "finish":
                runs = self.plan.runnable(w.suite)
                before = [("evaluate", _wildcards_of(run)) for run in runs]
                before += [("audit", prepared) for prepared in dict.fromkeys(map(_prepared_of, runs))]
            case "collect":
                before = [("finish", SuiteWildcards(w.scale, suite)) for suite in self._suites(w)]
            case "render":
                before = [("collect", w)]
        for job in before:
            yield job
            yield from self._jobs_before(*job)

    def _write_reason(self, rule: str, w: Any) -> str:
        """Write the reason why a job is outdated to a file, and return the file that note_outdated creates from it."""
        path = f"{OUTDATED_REASONS}/{'/'.join([rule, *map(str, w)])}"
        reason = one_line(self._reason(rule, w) or "")
        if path not in self._printed:
            # the file contains the time, because Snakemake treats an input with known content as unchanged
            write_text(Path(f"{path}.reason"), f"{REASON_PREFIX} {time.time_ns()}: {reason}\n")
            if reason not in self._printed:
                print(f"slim-bench: outdated: {reason}", file=sys.stderr, flush=True)
        self._printed |= {path, reason}
        return f"{path}.noted"


def prepared_folder(w: Any) -> str:
    """Return the folder of a prepared dataset, relative to the folder of the results."""
    return prepared_path(w.dataset, None if w.size == "full" else int(w.size)).as_posix()


def _prepared_of(run: Run) -> PreparedWildcards:
    return PreparedWildcards(run.dataset, "full" if run.data.image_size is None else str(run.data.image_size))


def _wildcards_of(run: Run) -> RunWildcards:
    return RunWildcards(run.scale, run.experiment, run.dataset, str(run.seed))
