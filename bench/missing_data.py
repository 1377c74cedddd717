"""Finds the runs of a suite whose dataset the user must install first, and lists these datasets once.

This module does not import torch.
"""

import sys
from collections import Counter
from pathlib import Path

from bench.data.fetch_job import FetchJob
from bench.data.manifest import MANIFEST
from bench.data.states import required_action
from bench.errors import InputError
from bench.plan import Plan
from bench.run import Run
from bench.terminal import one_line


class MissingData:
    """Datasets of a plan that `fetch` cannot obtain without the user."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._listed: set[str] = set()
        """Suites whose missing datasets were printed."""
        self._remedies: dict[str, str | None] = {}
        """Path of a prepared dataset -> required action of the user, or None."""

    def runnable(self, suite: str) -> list[Run]:
        """Return the runs of a suite whose dataset is prepared, downloaded or downloadable.

        The first call for a suite prints the datasets of the other runs. Raises InputError if no run is left.
        """
        runs = self.plan.runs(suite)
        runnable = [run for run in runs if self._remedy(run) is None]
        if len(runnable) < len(runs) and suite not in self._listed:
            self._listed.add(suite)
            print(*map(one_line, self._lines(suite, runs)), sep="\n", file=sys.stderr, flush=True)
        if not runnable:
            raise InputError(f"{suite}: no run can start before the data listed above are installed")
        return runnable

    def _remedy(self, run: Run) -> str | None:
        path, configuration = run.data.path, self.plan.configuration
        if path not in self._remedies:
            catalogue, settings = configuration.catalogue, configuration.settings.data
            dataset = catalogue.dataset(run.dataset)
            job = FetchJob(configuration.root, catalogue, run.dataset, dataset, settings=settings)
            self._remedies[path] = None if (Path(path) / MANIFEST).exists() else required_action(job)
        return self._remedies[path]

    def _lines(self, suite: str, runs: list[Run]) -> list[str]:
        """Return a heading, and for each remedy a line with its datasets and the number of their runs."""
        remedies = {run.dataset: remedy for run in runs if (remedy := self._remedy(run)) is not None}
        counts = Counter(run.dataset for run in runs if run.dataset in remedies)
        lines = [
            f"slim-bench: {suite}: {counts.total()} of {len(runs)} runs are left out until you provide their datasets:"
        ]
        for remedy in dict.fromkeys(remedies.values()):
            names = [name for name, given in remedies.items() if given == remedy]
            lines.append(f"  {', '.join(names)} ({sum(counts[name] for name in names)} runs): {remedy}")
        return lines
