"""Resolves the configuration to runs.

This module does not import torch, because it is imported whenever Snakemake parses the Snakefile.

Plan.load(overrides).runs("demo") -> the complete configuration of every run of a suite at its scale
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from bench.config import USER_DATA, Configuration, Jobs, TaskScale, Variation, require
from bench.data.catalogue import Dataset, UserFolder, prepared_path
from bench.errors import InputError
from bench.experiments import ResolvedExperiment
from bench.paths import run_folder
from bench.registry import arguments
from bench.run import DataSpec, ModelSpec, Run
from bench.schema import parse_strict

SHOWN = 6
"""Maximum number of names of a suite that an error lists."""


class Plan:
    """Runs that a configuration defines."""

    def __init__(self, configuration: Configuration):
        self.configuration = configuration
        self._resolved: dict[tuple[str, str, str, int], Run] = {}

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None, root: Path | None = None) -> Self:
        """Load config/. `overrides`, from Snakemake's `--config`, take precedence over config/config.yaml."""
        return cls(Configuration.load(root, dict(overrides or {})))

    @property
    def suites(self) -> list[str]:
        return sorted(self.configuration.suites)

    def scale_of(self, suite: str) -> str:
        """Return the scale of a suite, which is the user's setting or else the suite's default."""
        require(suite, self.configuration.suites, "suite")
        return self.configuration.settings.scale or self.configuration.suites[suite].scale

    def seeds(self, scale: str) -> tuple[int, ...]:
        given = self.configuration.settings.seeds
        return self.configuration.scales[scale].seeds if given is None else given

    @property
    def folders(self) -> dict[str, UserFolder]:
        return self.configuration.folders

    def runs(self, suite: str, scale: str | None = None) -> list[Run]:
        """Return the runs of a suite without duplicates, ordered by seed."""
        scale = scale or self.scale_of(suite)
        pairs = dict.fromkeys(self._pairs(suite, scale, ()))
        if not pairs:
            raise InputError(f"suite {suite!r} has no runs at scale {scale!r}{self._empty_suite_reason(suite, scale)}")
        chosen = [pair for pair in pairs if self._is_chosen(*pair)]
        if not chosen:
            part = " ".join(f"{key}=[{','.join(names)}]" for key, names in self._part.items())
            has = self._nearest_part(pairs)
            raise InputError(f"suite {suite!r} has no runs with {part} at scale {scale!r}; {has}")
        seeds = self.seeds(scale)
        return [self.run(scale, experiment, dataset, seed) for seed in seeds for experiment, dataset in chosen]

    @property
    def _part(self) -> dict[str, tuple[str, ...]]:
        """Return the settings that select a part of every suite, by their keys."""
        settings = self.configuration.settings
        given = {"datasets": settings.datasets, "experiments": settings.experiments, "tasks": settings.tasks}
        return {key: names for key, names in given.items() if names is not None}

    def _is_chosen(self, experiment: str, dataset: str) -> bool:
        named = {dataset, USER_DATA} if dataset in self.folders else {dataset}
        keys = {"datasets": named, "experiments": {experiment}, "tasks": {self._task(experiment)}}
        return all(keys[key] & set(names) for key, names in self._part.items())

    def _task(self, experiment: str) -> str:
        return self.configuration.resolved[experiment].task

    def unmatched(self, suite: str, scale: str | None = None) -> list[str]:
        """Return the datasets, experiments and tasks that the settings select, but the suite does not contain."""
        pairs = self._pairs(suite, scale or self.scale_of(suite), ())
        present = {name for experiment, dataset in pairs for name in (experiment, dataset, self._task(experiment))}
        if any(dataset in self.folders for _, dataset in pairs):
            present.add(USER_DATA)
        return [name for names in self._part.values() for name in names if name not in present]

    def _nearest_part(self, pairs: Iterable[tuple[str, str]]) -> str:
        """Return, as text, why no pair matches all settings.

        The text lists the names that the pairs have for the first setting that no pair matches. If each setting matches
        a pair, the text states that no pair matches all of them.
        """
        has = {
            "datasets": {dataset for _, dataset in pairs},
            "experiments": {experiment for experiment, _ in pairs},
            "tasks": {self._task(experiment) for experiment, _ in pairs},
        }
        for key, names in self._part.items():
            if not has[key] & set(names):
                more = f" and {len(has[key]) - SHOWN} more" if len(has[key]) > SHOWN else ""
                return f"its {key} are {', '.join(sorted(has[key])[:SHOWN])}{more}"
        return "each of these names is in the suite, but no run has all of them"

    def _pairs(self, suite: str, scale: str, seen: tuple[str, ...]) -> list[tuple[str, str]]:
        if suite in seen:
            raise InputError(f"config/suites/{suite}.yaml: include is circular ({' -> '.join(seen)})")
        entry = self.configuration.suites[suite]
        found = [pair for name in entry.include for pair in self._pairs(name, scale, (*seen, suite))]
        for listed in entry.runs:
            if scale in listed.scales:
                datasets = [
                    name for given in listed.datasets for name in (self.folders if given == USER_DATA else [given])
                ]
                pairs = [(experiment, dataset) for dataset in datasets for experiment in listed.experiments]
                found += [pair for pair in pairs if self._same_task(*pair, listed.datasets)]
        return found

    def _same_task(self, experiment: str, dataset: str, listed: tuple[str, ...]) -> bool:
        """Return whether experiment and dataset have the same task.

        Raises InputError if a dataset that the suite lists by name has another task.
        """
        wanted = self.configuration.resolved[experiment].task
        given = self.configuration.catalogue.datasets[dataset].task
        if wanted != given and dataset in listed:
            raise InputError(f"{experiment} is for {wanted}, but dataset {dataset} is for {given}")
        return wanted == given

    def _empty_suite_reason(self, suite: str, scale: str) -> str:
        if any(USER_DATA in listed.datasets for listed in self.configuration.suites[suite].runs) and not self.folders:
            return ": pass your images with snakemake own --config folder=PATH"
        scales = sorted({name for listed in self.configuration.suites[suite].runs for name in listed.scales})
        return f": it is for {', '.join(scales)}" if scales and scale not in scales else ""

    def run(self, scale: str, experiment: str, dataset: str, seed: int) -> Run:
        """Return the complete configuration of one run. Raises InputError with file and key for any problem."""
        key = (scale, experiment, dataset, seed)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(*key)
        return self._resolved[key]

    def _resolve(self, scale: str, experiment: str, dataset: str, seed: int) -> Run:
        configuration = self.configuration
        require(scale, configuration.scales, "scale")
        require(experiment, configuration.experiments, "experiment")
        chosen = configuration.resolved[experiment]
        entry = configuration.catalogue.dataset(dataset)
        if entry.task != chosen.task:
            raise InputError(f"{experiment} is for {chosen.task}, but dataset {dataset} is for {entry.task}")
        sizes = configuration.scales[scale]
        task = sizes.task(chosen.task)
        variations = [v for v in sizes.variations if dataset in v.datasets]
        image_size = next((v.image_size for v in reversed(variations) if v.image_size), task.image_size)
        where = f"{experiment} on {dataset} at scale {scale}"
        if chosen.min_image_size and image_size and image_size < chosen.min_image_size:
            raise InputError(f"{where}: needs images of at least {chosen.min_image_size} px, not {image_size}")
        data = DataSpec(
            path=prepared_path(dataset, image_size).as_posix(),
            image_size=image_size,
            source_sha256=configuration.catalogue.source_sha256(dataset),
        )
        value = {
            "scale": scale,
            "experiment": experiment,
            "base": chosen.base,
            "dataset": dataset,
            "seed": seed,
            "task": chosen.task,
            "model": _model(chosen, task, variations, entry, image_size, where).model_dump(mode="json"),
            "data": data.model_dump(mode="json"),
            "recipe": _recipe(chosen, task, variations),
            "evaluation": task.evaluation.model_dump(mode="json"),
            "compute": sizes.compute.model_dump(mode="json"),
        }
        return parse_strict(Run, value, where)

    def jobs(self, run: Run) -> Jobs:
        """Return the resources that the jobs of a run request from a cluster."""
        sizes = self.configuration.scales[run.scale]
        varied = [v.jobs for v in sizes.variations if run.dataset in v.datasets and v.jobs is not None]
        return varied[-1] if varied else sizes.task(run.task).jobs

    def folder_of(self, run: Run) -> Path:
        return run_folder(run.scale, run.experiment, run.dataset, run.seed)


def _recipe(chosen: ResolvedExperiment, task: TaskScale, variations: list[Variation]) -> dict[str, Any]:
    """Return the recipe of the scale, updated by its variations for the dataset and by the experiment."""
    merged: dict[str, Any] = {"task": chosen.task, **task.recipe}
    for variation in variations:
        merged |= variation.recipe
    return merged | chosen.recipe


def _model(
    chosen: ResolvedExperiment,
    task: TaskScale,
    variations: list[Variation],
    entry: Dataset,
    image_size: int | None,
    where: str,
) -> ModelSpec:
    """Return the network with the arguments of the scale, updated by dataset, variations and experiment."""
    args = dict(task.model)
    if chosen.task == "fewshot":
        args["image_size"] = image_size
    if chosen.task == "classification" and entry.classes is not None:
        args["num_classes"] = entry.classes
    for variation in variations:
        args |= variation.model
    args |= chosen.model.args
    parse_strict(arguments(chosen.model.name), args, f"{where}: model.args")
    return ModelSpec(name=chosen.model.name, args=args)
