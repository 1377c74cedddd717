"""Strict models of config/*.yaml. An unknown key or name raises a one-line error that suggests the nearest valid one.

A scale defines sizes and budgets, an experiment defines a network, and a suite defines a list of runs. Each setting is
therefore defined in one place. This module does not import torch.
"""

import os
import re
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, create_model, field_validator

from bench.data.catalogue import USER_DATA, Catalogue, UserFolder, load_catalogue, task_of
from bench.data.sources import DataSettings
from bench.errors import InputError
from bench.experiments import Experiment, Experiments, ResolvedExperiment, read_entries, require
from bench.files import read_yaml, sha256_bytes
from bench.metrics.catalogue import check_metrics
from bench.paths import project
from bench.registry import MODELS, arguments, entry
from bench.run import RECIPES, Compute, Evaluation
from bench.schema import Names, Positive, Seeds, Strict, Task, parse_cli_value, parse_strict
from bench.source import add_search_path
from bench.suites import CLAIMS, ClaimSuite, Suite, read_suites

IMAGE_SIZE = "size of the prepared images in pixels; null: original sizes"


class Settings(Strict):
    """config.yaml: the most common settings; `snakemake --config key=value` overrides them."""

    scale: str | None = Field(
        None,
        description="tiny, demo, small or paper; null: the target's default (demo, except for paper, small and tiny)",
    )
    seeds: Seeds | None = Field(None, description="seeds of every run, or a single seed; null: the seeds of the scale")
    datasets: Names | None = Field(None, description="run only these datasets of a suite; null: all of them")
    experiments: Names | None = Field(None, description="run only these experiments of a suite; null: all of them")
    tasks: Names | None = Field(None, description="run only these tasks of a suite; null: all of them")
    allow_mixed_code: bool = Field(False, description="paper scale: allow runs of different code versions in one table")
    max_unpacked_gb: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="largest unpacked size of an archive or array file in GB; null: 20 times its size, at least 0.5 GB",
    )
    data: DataSettings = Field(DataSettings(), description="permitted origins of dataset files")
    folder: UserFolder | None = Field(
        None, description="path of your own images, for the target `own`; its type determines the task"
    )
    folders: dict[str, UserFolder] = Field({}, description="several such paths by name, with options")

    _parse_cli_value = field_validator("scale", "allow_mixed_code", "max_unpacked_gb", mode="before")(parse_cli_value)

    @field_validator("seeds", mode="before")
    @classmethod
    def _accept_single_seed(cls, value: Any) -> Any:
        """Convert a single seed, as in `--config seeds=3`, to a list of one."""
        value = parse_cli_value(value)
        return value if value is None or isinstance(value, tuple) else (value,)

    @field_validator("datasets", "experiments", "tasks", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        """Convert a single name, as in `--config tasks=fewshot`, to a list of one. A number may be a name."""
        if value == []:
            raise ValueError("the list is empty, so no run is selected; null selects all runs")
        if value is None or (isinstance(value, str) and value.lower() == "null"):
            return None
        names = value if isinstance(value, list | tuple) else (value,)
        return tuple(str(name) if type(name) is int else name for name in names)

    @field_validator("folder", mode="before")
    @classmethod
    def _parse_path(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("the path is empty")
        if isinstance(value, list | tuple):
            raise ValueError("expected one path; for several, use folders={NAME: PATH, NAME: PATH}")
        return value

    @field_validator("folders", mode="before")
    @classmethod
    def _parse_folders(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected folders={NAME: PATH}; for a path without a name, use `folder`")
        return value


class JobRequest(Strict):
    """Resources that one job requests from a cluster. A single machine ignores them."""

    mem_mb: Positive = Field(32000, description="memory in MB")
    minutes: Positive = Field(description="time limit; a run that exceeds it resumes in the next attempt")
    gpus: int = Field(1, ge=0, le=64, description="number of GPUs")


class Jobs(Strict):
    """Resources of a run's jobs on a cluster; the option `--set-resources train:mem_mb=N` replaces single values."""

    train: JobRequest = Field(JobRequest(minutes=24 * 60), description="training")
    evaluate: JobRequest = Field(JobRequest(minutes=4 * 60), description="scoring")


class TaskScale(Strict):
    """Sizes, recipe, evaluation and cluster resources of one task at one scale."""

    image_size: Positive | None = Field(None, description=IMAGE_SIZE)
    model: dict[str, Any] = Field({}, description="arguments of every network of the task")
    recipe: dict[str, Any] = Field({}, description="recipe keys that differ from their defaults")
    evaluation: Evaluation = Field(description="metrics and sampling protocol")
    jobs: Jobs = Field(Jobs(), description="requests to a cluster")


class Variation(Strict):
    """Settings that differ for some datasets of a scale."""

    datasets: tuple[str, ...] = Field(description="names from config/datasets.yaml")
    image_size: Positive | None = Field(None, description=IMAGE_SIZE)
    model: dict[str, Any] = Field({}, description="arguments of the networks")
    recipe: dict[str, Any] = Field({}, description="recipe keys of the networks")
    jobs: Jobs | None = Field(
        None, description="resources that the jobs request from a cluster; null: the resources of the task"
    )


class Scale(Strict):
    """scales.yaml: sizes, budgets and seeds."""

    description: str = Field(description="purpose of the scale")
    seeds: Seeds = Field(description="seeds of every run")
    compute: Compute = Field(Compute(), description="device, precision, threads, checkpoints")
    fewshot: TaskScale = Field(description="few-shot synthesis")
    oneshot: TaskScale = Field(description="one-shot synthesis")
    classification: TaskScale = Field(description="classification")
    variations: tuple[Variation, ...] = Field(
        (), description="settings that differ for some datasets; later entries take precedence"
    )

    def task(self, name: Task) -> TaskScale:
        return getattr(self, name)


@dataclass(frozen=True)
class Configuration:
    """Validated content of config/, with the overrides of the command line."""

    root: Path
    settings: Settings
    networks: Experiments
    scales: dict[str, Scale]
    suites: dict[str, Suite]
    catalogue: Catalogue
    folders: dict[str, UserFolder]
    """Datasets of the user by name, each with its task."""

    @classmethod
    def load(cls, root: Path | None = None, overrides: dict[str, Any] | None = None) -> "Configuration":
        """Read config/ in `root`. By default, `root` is the current folder if it is a project, else this project."""
        in_another_project = root is None and project() != Path(".")
        root = project() if root is None else Path(root)
        folder = root / "config"
        add_search_path(root)  # the user's networks may be modules next to config/
        given = _merged(read_yaml(folder / "config.yaml"), overrides or {})
        suites = read_suites(folder)
        settings = parse_strict(Settings, given, "config/config.yaml")
        folders = user_folders(settings)
        if in_another_project:  # relative paths refer to the current folder
            folders = {name: _with_absolute_path(given) for name, given in folders.items()}
        loaded = cls(
            root=root,
            settings=settings,
            networks=Experiments.read(folder),
            scales=read_entries(folder / "scales.yaml", Scale),
            suites=suites,
            catalogue=load_catalogue(root, folders),
            folders=folders,
        )
        loaded._check()
        return loaded

    @property
    def experiments(self) -> dict[str, Experiment]:
        """Every experiment by name, as written in the configuration files."""
        return self.networks.written

    @property
    def resolved(self) -> dict[str, ResolvedExperiment]:
        """Every experiment by name, with its base merged in."""
        return self.networks.resolved

    def _check(self) -> None:
        """Check names and keys across files, so that a typo fails immediately instead of after hours of training."""
        if self.settings.scale is not None:
            require(self.settings.scale, self.scales, "config/config.yaml: scale")
        _check_names(
            self.settings.datasets or (), [*self.catalogue.datasets, USER_DATA], "config/config.yaml: datasets"
        )
        _check_names(self.settings.experiments or (), self.experiments, "config/config.yaml: experiments")
        _check_names(self.settings.tasks or (), RECIPES, "config/config.yaml: tasks")
        for name, experiment in self.resolved.items():
            where = self.networks.places[name]
            _check_network(experiment, f"{where}.model.name")
            _check_partial(arguments(experiment.model.name), experiment.model.args, f"{where}.model.args")
            check_recipe(experiment.task, experiment.recipe, f"{where}.recipe")
        for name, scale in self.scales.items():
            self._check_scale(scale, f"config/scales.yaml: {name}")
        for name, suite in self.suites.items():
            self._check_suite(suite, CLAIMS if isinstance(suite, ClaimSuite) else f"config/suites/{name}.yaml")

    def _check_scale(self, scale: Scale, where: str) -> None:
        for task in RECIPES:
            check_recipe(task, scale.task(task).recipe, f"{where}.{task}.recipe")
            given = scale.task(task).evaluation
            if not given.metrics:
                raise InputError(f"{where}.{task}.evaluation.metrics: the list is empty, so no run would be scored")
            check_metrics(given.metrics, task, f"{where}.{task}.evaluation.metrics", given.n_fake)
        for index, variation in enumerate(scale.variations):
            part = f"{where}.variations.{index}"
            for dataset in variation.datasets:
                require(dataset, self.catalogue.datasets, f"{part}.datasets")
                check_recipe(self.catalogue.datasets[dataset].task, variation.recipe, f"{part}.recipe")

    def _check_suite(self, suite: Suite, where: str) -> None:
        require(suite.scale, self.scales, f"{where}: scale")
        for name in suite.include:
            require(name, self.suites, f"{where}: include")
        for index, runs in enumerate(suite.runs):
            _check_names(runs.scales, self.scales, f"{where}: runs.{index}.scales")
            _check_names(runs.experiments, self.experiments, f"{where}: runs.{index}.experiments")
            _check_names(runs.datasets, [*self.catalogue.datasets, USER_DATA], f"{where}: runs.{index}.datasets")


def _merged(settings: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `overrides` into `settings` recursively, as Snakemake merges --config and --configfile."""
    both = dict(settings)
    for key, value in overrides.items():
        inner = both.get(key)
        both[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return both


def _with_absolute_path(folder: UserFolder) -> UserFolder:
    return folder.model_copy(update={"path": str(Path(folder.path).expanduser().absolute())})


def user_folders(settings: Settings) -> dict[str, UserFolder]:
    """Return the user's folders by name. The name of the setting `folder` is derived from its path.

    If a folder has no task, `task_of` derives the task from the path.
    """
    found = dict(settings.folders)
    if settings.folder is not None:
        path = Path(settings.folder.path).expanduser()
        if not path.exists():
            raise InputError(f"folder: {path}: no such file or folder")
        found[dataset_name_of_path(path)] = settings.folder.model_copy(update={"path": str(path)})
    for name, folder in found.items():
        if "task" not in folder.model_fields_set:
            found[name] = folder.model_copy(update={"task": task_of(Path(folder.path).expanduser())})
    return found


def dataset_name_of_path(path: Path) -> str:
    """Return the dataset name of a user's path.

    The name consists of the last component of the path and eight hexadecimal digits of the path's hash. The digits
    distinguish folders with the same last component, such as `images`.
    """
    resolved = path.resolve()
    stem = re.sub(r"[^a-z0-9]+", "-", resolved.stem.lower())[:70].strip("-") or "images"
    return f"{stem}-{sha256_bytes(os.fsencode(resolved))[:8]}"


def _check_network(experiment: ResolvedExperiment, where: str) -> None:
    """Raise InputError if the network does not belong to the experiment's task.

    A discriminator is rejected too, because it is never trained alone.
    """
    name = experiment.model.name
    if ":" not in name:
        require(name, MODELS, where)
    try:
        task = entry(name).task
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if task not in (None, experiment.task) or name == "fastgan-discriminator":
        raise InputError(f"{where}: {name!r} is not a network for {experiment.task}")


def check_recipe(task: Task, recipe: dict[str, Any], where: str) -> None:
    """Validate keys and values of a partial recipe."""
    _check_partial(RECIPES[task], recipe, where)


def _check_partial(model: type[BaseModel], values: dict[str, Any], where: str) -> None:
    """Validate `values` against the Pydantic class `model`. Required fields may be missing."""
    parse_strict(partial_model(model), values, where)


@cache
def partial_model(model: type[BaseModel]) -> type[BaseModel]:
    """Return a variant of the Pydantic class `model` in which every required field has the default None."""
    fields: dict[str, Any] = {
        name: (field.annotation, copy(field)) for name, field in model.model_fields.items() if field.is_required()
    }
    for _, field in fields.values():
        field.default = None
    return create_model(model.__name__, __base__=model, **fields) if fields else model


def _check_names(names: Iterable[str], valid: Iterable[str], where: str) -> None:
    for name in names:
        require(name, valid, where)
