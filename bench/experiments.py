"""Experiments of config/experiments.yaml and config/ablations.yaml, by name. This module does not import torch.

An experiment with a `base` inherits every key that it does not set. An ablation grid creates one experiment per base
and variation, with the name BASE-VARIATION.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.errors import InputError, did_you_mean
from bench.files import read_yaml
from bench.run import ModelSpec
from bench.schema import Name, Positive, Strict, Task, parse_strict, valid_name


class ModelChange(Strict):
    """Arguments that differ from those of the base."""

    args: dict[str, Any] = Field({}, description="arguments of the network that differ from its defaults")


class ModelChoice(ModelChange):
    """The network, and arguments that differ from its defaults."""

    name: str | None = Field(
        None,
        description="a name from `slim-bench models`, or module:name of your code; inherited from `base` by default",
    )


class Variant(Strict):
    """Changes of an ablation to the network or recipe of its base."""

    description: str = Field(description="description for the report")
    model: ModelChange = Field(ModelChange(), description="the network")
    recipe: dict[str, Any] = Field({}, description="recipe keys that differ from those of the scale")
    min_image_size: Positive | None = Field(None, description="smallest image size that the network supports")


class Experiment(Variant):
    """One named network; it inherits every key that it does not set from `base`."""

    model: ModelChoice = Field(ModelChoice(), description="the network")
    base: str | None = Field(None, description="the experiment of which this is a variation")
    task: Task | None = Field(None, description="task of the network; inherited from `base` by default")


class AblationGrid(Strict):
    """One grid: each variation of each base becomes the experiment BASE-VARIATION."""

    bases: tuple[str, ...] = Field(min_length=1, description="names from config/experiments.yaml")
    variations: dict[Name, Variant] = Field(description="variations by name, with their changes to each base")


def require(name: str, valid: Iterable[str], where: str) -> str:
    """Return `name` if it is in `valid`. Otherwise raise InputError with the nearest valid name."""
    valid = list(valid)
    if name not in valid:
        raise InputError(f"{where}: {name!r} is not known{did_you_mean(name, valid)}")
    return name


def read_entries(path: Path, model: type[Strict]) -> dict[str, Any]:
    """Read and validate a YAML file that maps names to entries of type `model`."""
    where = path.relative_to(path.parents[1])
    entries = read_yaml(path)
    for name in entries:
        valid_name(name, str(where))
    return {name: parse_strict(model, value, f"{where}: {name}") for name, value in entries.items()}


class ResolvedExperiment(Strict):
    """An experiment with its base merged in, so that its network and task are known."""

    description: str
    base: str | None
    task: Task
    model: ModelSpec
    recipe: dict[str, Any]
    min_image_size: int | None


@dataclass(frozen=True)
class Experiments:
    """All experiments as written in the files. `places` contains the file and key of each, for error messages."""

    written: dict[str, Experiment]
    places: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Experiments":
        """Read experiments.yaml and, if it exists, ablations.yaml of a folder."""
        written = read_entries(folder / "experiments.yaml", Experiment)
        places = {name: f"config/experiments.yaml: {name}" for name in written}
        grids, bases = folder / "ablations.yaml", [*written]
        for name, grid in (read_entries(grids, AblationGrid) if grids.exists() else {}).items():
            where = f"config/ablations.yaml: {name}"
            for base in grid.bases:
                require(base, bases, f"{where}.bases")
                for variation, variant in grid.variations.items():
                    new = f"{base}-{variation}"
                    valid_name(new, where)
                    if new in written:
                        raise InputError(f"{where}.variations.{variation}: {new} is already defined by {places[new]}")
                    changed = ModelChoice(args=variant.model.args)
                    written[new] = Experiment(**dict(variant) | {"base": base, "model": changed})
                    places[new] = f"{where}.variations.{variation}"
        return cls(written, places)

    @cached_property
    def resolved(self) -> dict[str, ResolvedExperiment]:
        """Return all experiments with their bases merged in.

        `model.args` and `recipe` are merged key by key. The values of an experiment take precedence over the values of
        its base.
        """
        return {name: self._resolve(name, ()) for name in self.written}

    def _resolve(self, name: str, seen: tuple[str, ...]) -> ResolvedExperiment:
        own, where = self.written[name], self.places[name]
        if own.base is None:
            if own.task is None or own.model.name is None:
                raise InputError(f"{where}: needs task and model.name, or a base")
            network = ModelSpec(name=own.model.name, args=own.model.args)
            return ResolvedExperiment(**dict(own) | {"model": network})
        if own.base in (*seen, name):
            raise InputError(f"{where}.base: is circular ({' -> '.join((*seen, name, own.base))})")
        require(own.base, self.written, f"{where}.base")
        base = self._resolve(own.base, (*seen, name))
        model = ModelSpec(name=own.model.name or base.model.name, args={**base.model.args, **own.model.args})
        return ResolvedExperiment(
            description=own.description,
            base=own.base,
            task=own.task or base.task,
            model=model,
            recipe={**base.recipe, **own.recipe},
            min_image_size=own.min_image_size or base.min_image_size,
        )
