"""Complete configuration of one run, as stored in run.json. A job reads no other configuration.

This module does not import torch, because the plan builds all runs whenever Snakemake parses the Snakefile.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from bench.errors import InputError
from bench.files import read_json, read_mapping, sha256_json, write_json
from bench.paths import find_data, run_name
from bench.recipes import RECIPES, ClassificationRecipe, Compute, Evaluation, FewShotRecipe, OneShotRecipe
from bench.schema import Name, Positive, Seed, Strict, Task, parse_strict

SCHEMA_VERSION: Literal[1] = 1


class ModelSpec(Strict):
    """Network of a run: its registry name or module:name, and the keyword arguments that differ from the defaults."""

    name: str
    args: dict[str, Any] = {}


class DataSpec(Strict):
    """Prepared dataset. `path` is the folder with manifest.json, relative to the project root (see `find_data`)."""

    path: str
    image_size: Positive | None = Field(None, description="size of the prepared images in pixels; null: original sizes")
    source_sha256: str | None = Field(None, description="hash of the downloaded archive; null for a user's path")


class Run(Strict):
    """One experiment on one dataset with one seed at one scale."""

    schema_version: Literal[1] = SCHEMA_VERSION
    scale: Name
    experiment: Name
    base: Name | None = Field(None, description="the experiment that this one is a variation of")
    dataset: Name
    seed: Seed
    task: Task
    model: ModelSpec
    data: DataSpec
    recipe: Annotated[FewShotRecipe | OneShotRecipe | ClassificationRecipe, Field(discriminator="task")]
    evaluation: Evaluation
    compute: Compute = Compute()
    _file: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check_recipe(self) -> "Run":
        if isinstance(self.recipe, OneShotRecipe) and self.recipe.min_size > self.recipe.max_size:
            raise ValueError(f"recipe.min_size {self.recipe.min_size} exceeds recipe.max_size {self.recipe.max_size}")
        if isinstance(self.recipe, ClassificationRecipe) and self.recipe.warmup_epochs > self.recipe.epochs:
            warmup, epochs = self.recipe.warmup_epochs, self.recipe.epochs
            raise ValueError(
                f"recipe.warmup_epochs {warmup} exceeds recipe.epochs {epochs}, so warm-up would never end"
            )
        if isinstance(self.recipe, FewShotRecipe):
            _check_generation(self.evaluation)
        return self

    @property
    def name(self) -> str:
        return run_name(self.experiment, self.dataset, self.seed)

    @property
    def data_folder(self) -> Path:
        """Return the folder of the prepared dataset, located by `find_data`. Raises InputError if it does not exist."""
        found = find_data(self.data.path, self._file)
        if found is None:
            raise InputError(
                f"{self._file or self.name}: data.path: no folder {self.data.path} here or in the project; "
                f"run `slim-bench prepare {self.dataset} --size {self.data.image_size or 'full'}` in the project"
            )
        return found

    @property
    def hash(self) -> str:
        """Return the hash that identifies the run. Its checkpoints, export and scores record this hash."""
        return training_hash(self.model_dump(mode="json"))

    @property
    def description_hash(self) -> str:
        """Return the sha256 of the complete run.json."""
        return sha256_json(self.model_dump(mode="json"))


def _check_generation(evaluation: Evaluation) -> None:
    """Raise ValueError if the batch size of generation exceeds both the number of scored images and its own default.

    Every batch is generated completely, so the additional images would be dropped.
    """
    batch, scored = evaluation.batch_size, evaluation.n_fake
    default = Evaluation.model_fields["batch_size"].default
    if scored is not None and batch > max(scored, default):
        raise ValueError(
            f"evaluation.batch_size {batch} exceeds evaluation.n_fake {scored}: whole batches are generated, "
            f"and images beyond n_fake are dropped; use at most {max(scored, default)}"
        )


def training_hash(description: dict[str, Any]) -> str:
    """Return the sha256 of the keys in run.json that affect the result of training. A missing key has its default.

    The hash excludes `evaluation`, `base` and operational keys, because they do not affect training. It also excludes
    values equal to the default recorded for the run's schema_version in defaults-N.json or, for keys added later, to
    the default in the code. Therefore a new key changes no hash, and a changed default changes only hashes of runs that
    use the new default.
    """
    version = description.get("schema_version", 1)
    recorded = recorded_defaults(version)
    counted = {key: value for key, value in description.items() if key not in ("base", "evaluation", "data", "compute")}
    for section, model in (("data", DataSpec), ("compute", Compute)):
        counted[section] = _hashed_values(description.get(section, {}), recorded.get(section, {}), model)
    task: Any = description.get("task")
    network = description.get("model") or {}
    defaults = recorded.get("recipe", {}).get(task, {})
    counted["recipe"] = _hashed_values(description.get("recipe", {}), defaults, RECIPES.get(task))
    defaults = recorded.get("model", {}).get(network.get("name"), {})
    arguments = _hashed_values(network.get("args", {}), defaults)
    return sha256_json(
        _normalise_floats(counted | {"schema_version": version, "model": {**network, "args": arguments}})
    )


def evaluation_hash(evaluation: Evaluation) -> str:
    """Return the sha256 of the evaluation settings that differ from their defaults, as in `training_hash`."""
    recorded = recorded_defaults(SCHEMA_VERSION)["evaluation"]
    return sha256_json(_normalise_floats(_hashed_values(evaluation.model_dump(mode="json"), recorded, Evaluation)))


@cache
def recorded_defaults(version: int) -> dict[str, Any]:
    """Return the content of defaults-N.json: defaults for run hashes by section (recipes by task, networks by name)."""
    file = defaults_file(version)
    return read_json(file) if file.exists() else {}


def defaults_file(version: int) -> Path:
    return Path(__file__).with_name(f"defaults-{version}.json")


@cache
def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a mapping from each key that run hashes include to its default as JSON."""
    fields = {key: field for key, field in model.model_fields.items() if key not in _operational(model)}
    return {key: json.loads(json.dumps(field.default)) for key, field in fields.items() if not field.is_required()}


@cache
def _operational(model: type[BaseModel]) -> set[str]:
    extras = {key: field.json_schema_extra for key, field in model.model_fields.items()}
    return {key for key, extra in extras.items() if isinstance(extra, dict) and extra.get("operational")}


def _hashed_values(values: Any, recorded: dict[str, Any], model: type[BaseModel] | None = None) -> Any:
    """Return the values of one section that differ from their defaults, without operational keys."""
    if not isinstance(values, dict):
        return values
    defaults = (defaults_of(model) if model else {}) | recorded
    left_out = _operational(model) if model else set()
    counted_values = {key: value for key, value in values.items() if key not in left_out}
    return {key: value for key, value in counted_values.items() if key not in defaults or value != defaults[key]}


def _normalise_floats(value: Any) -> Any:
    """Return a JSON value in which floats such as 1.0 are replaced by integers.

    Therefore a manually edited file has the same hash as the run that is parsed from it.
    """
    if isinstance(value, dict):
        return {key: _normalise_floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_normalise_floats(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def write_run(path: Path, run: Run) -> None:
    write_json(path, run.model_dump(mode="json"))


def read_run(path: Path) -> Run:
    """Read run.json. Raises InputError with file and key for any problem."""
    return parse_strict(Run, read_json(path), Path(path))


def read_job(path: Path) -> Run:
    """Read run.json for a job that needs data. The data are also searched for in the project that contains the file."""
    try:
        run = read_run(path)
    except InputError as error:
        if read_mapping(path) or not os.access(path, os.R_OK):  # edited manually, missing, or not readable
            raise
        raise InputError(f"{error}; `slim-bench freeze` recreates this file") from None
    run._file = Path(path)
    return run
