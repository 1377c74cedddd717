"""Registry of all networks by name. `bench` refers to networks by name, so that planning does not import torch.

A name with a colon, such as "mypackage.mymodule:MyGate", is an external network, or an external gate for FastGAN. The
arguments of a network are the arguments of the function that builds it, and are read from the source code.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict
from pydantic import create_model as new_model

from bench.code_digest import ROOT
from bench.errors import InputError, did_you_mean
from bench.files import read_yaml
from bench.schema import Strict, parse_strict
from bench.signature import Signature, read_signature
from bench.source import add_search_path, find_source

if TYPE_CHECKING:
    from torch import nn

FASTGAN = "Liu et al. 2021, arXiv 2101.04775"
SINGAN = "Rott Shaham et al. 2019, arXiv 1905.01164"
RESNET = "He et al. 2016, arXiv 1512.03385"
RESNEXT = "Xie et al. 2017, arXiv 1611.05431"
SENET = "Hu et al. 2018, arXiv 1709.01507"
SLIM = "Shen and Wu 2021, arXiv 2112.14804"
EXTERNAL = "outside this repository"
EXPERIMENTS = Path("config/experiments.yaml")
GATED_GENERATOR = "baselines.fastgan:gated_generator"
GATE_CHANNELS = {"low_channels", "high_channels"}
"""Arguments that every gate has. The generator sets them from the two feature maps, so they are not options."""


@dataclass(frozen=True)
class Entry:
    """Registered network.

    Attributes:
        target: "module:function" that builds the network.
        task: task of the network; None if the experiment defines the task.
        source: publication that defines the network.
        gate: "module:name" of the external gate that `target` uses.
    """

    target: str
    task: str | None
    source: str
    gate: str | None = None

    @property
    def modules(self) -> set[str]:
        """Modules from which the code digest follows imports."""
        return {target.partition(":")[0] for target in (self.target, self.gate) if target}


MODELS: dict[str, Entry] = {
    "fastgan-sle": Entry("baselines.fastgan:generator", "fewshot", FASTGAN),
    "fastgan-slim": Entry("slim.fastgan:generator", "fewshot", SLIM),
    "fastgan-discriminator": Entry("baselines.fastgan:discriminator", "fewshot", FASTGAN),
    "singan": Entry("baselines.singan:pyramid", "oneshot", SINGAN),
    "singan-slim": Entry("slim.singan:pyramid", "oneshot", SLIM),
    "resnet": Entry("baselines.resnet:resnet", "classification", RESNET),
    "resnext": Entry("baselines.resnet:resnet", "classification", RESNEXT),
    "slim-resnet": Entry("slim.resnet:resnet", "classification", SLIM),
    "resnet50": Entry("baselines.resnet:resnet50", "classification", RESNET),
    "resnet101": Entry("baselines.resnet:resnet101", "classification", RESNET),
    "resnext50-32x4d": Entry("baselines.resnet:resnext50_32x4d", "classification", RESNEXT),
    "resnext101-32x4d": Entry("baselines.resnet:resnext101_32x4d", "classification", RESNEXT),
    "se-resnet50": Entry("baselines.resnet:se_resnet50", "classification", SENET),
    "slim-resnet50": Entry("slim.resnet:resnet50", "classification", SLIM),
    "slim-resnet101": Entry("slim.resnet:resnet101", "classification", SLIM),
}


def entry(name: str) -> Entry:
    """Return the entry of the network `name`. Raises InputError if the name, module or function does not exist."""
    if ":" in name:
        return _external_entry(name)
    if name not in MODELS:
        raise InputError(f"model {name!r} is not known{did_you_mean(name, MODELS)}")
    return MODELS[name]


def _external_entry(name: str) -> Entry:
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise InputError(f'model {name!r} is not "module:name", as in "mypackage.mymodule:MyGate"')
    add_search_path(Path.cwd())
    try:
        parameters = _signature(name).parameters
    except InputError as error:
        raise InputError(f"model {name!r}: {error}") from None
    if parameters.keys() >= GATE_CHANNELS:
        return Entry(GATED_GENERATOR, "fewshot", EXTERNAL, gate=name)
    return Entry(name, None, EXTERNAL)


def _signature(target: str) -> Signature:
    """Return the signature of `target`, cached by module file because tests change the working folder."""
    return _signature_in(target, find_source(target.partition(":")[0]))


@cache
def _signature_in(target: str, _file: Path | None) -> Signature:
    return read_signature(target)


def check_registered(name: str, source: Path | str) -> None:
    """Raise InputError for an external network that no experiment of this project uses.

    Building a network runs its code, and `source`, a run.json or an export, may be untrusted. Only networks that the
    user listed in config/experiments.yaml are built.
    """
    if ":" in name and not any(name in _network_names(root / EXPERIMENTS) for root in (Path(), ROOT)):
        raise InputError(
            f"{source}: model.name: {name!r} is code from outside this repository, which runs only in "
            f"a project whose {EXPERIMENTS} lists it"
        )


def _network_names(path: Path) -> set[str]:
    """Return the names of networks in an experiments file."""
    entries = read_yaml(path) if path.is_file() else {}
    models = [registered.get("model") for registered in entries.values() if isinstance(registered, dict)]
    return {str(model.get("name")) for model in models if isinstance(model, dict)}


class Arguments(Strict):
    """Validated arguments of a network: types, limits and names."""

    model_config = ConfigDict(protected_namespaces=())


def arguments(name: str) -> type[Arguments]:
    """Return the Pydantic class that validates the arguments of the network `name`, with their defaults."""
    registered = entry(name)
    return _arguments(registered.target, registered.gate, *map(find_source, sorted(registered.modules)))


@cache
def _arguments(target: str, gate: str | None, *_files: Path | None) -> type[Arguments]:
    signature = _signature(target)
    fields, takes_any = signature.parameters, signature.takes_any
    if gate is not None:
        gate_signature = _signature(gate)
        set_by_builder = {next(iter(fields)), *GATE_CHANNELS}  # the first argument of the builder is the gate
        fields = {
            key: value for key, value in (fields | gate_signature.parameters).items() if key not in set_by_builder
        }
        takes_any = gate_signature.takes_any
    kinds: dict[str, Any] = {key: tuple(value) for key, value in fields.items() if not key.startswith("_")}
    base = _OpenArguments if takes_any else Arguments
    return new_model("NetworkArguments", __base__=base, **kinds)


class _OpenArguments(Arguments):
    model_config = ConfigDict(extra="allow")


def training_modules(task: str, model: str) -> tuple[str, ...]:
    """Return the modules from which the code digest of training follows imports.

    These are the modules of the engine and of the networks. Both are listed, because the engine does not import the
    networks.
    """
    networks = network_modules(model)
    if task == "fewshot":
        networks |= MODELS["fastgan-discriminator"].modules
    return ("bench.train.startup", f"bench.train.{task}.engine", *sorted(networks))


def network_modules(model: str) -> set[str]:
    """Return the modules from which the code digest of a network follows imports; empty for an unknown network."""
    return entry(model).modules if ":" in model or model in MODELS else set()


def create_model(name: str, **overrides: Any) -> nn.Module:
    """Build a network. Raises InputError with the nearest name for an unknown name or argument."""
    registered = entry(name)
    parsed = parse_strict(arguments(name), overrides, f"model {name}")
    given = {key: getattr(parsed, key) for key in parsed.model_fields_set}  # the others have defaults
    build = _load(registered.target)
    if registered.gate is not None:  # an argument that the builder and the gate share is passed to both
        builders, gate_parameters = _signature(registered.target).parameters, _signature(registered.gate).parameters
        for_gate = {key: value for key, value in given.items() if key in gate_parameters or key not in builders}
        build = partial(build, partial(_load(registered.gate), **for_gate))
        given = {key: value for key, value in given.items() if key in builders}
    try:
        network = build(**given)
    except InputError:
        raise
    except ValueError as error:  # each argument is valid, but their combination is not
        raise InputError(f"model {name}: {error}") from error
    if not hasattr(network, "state_dict"):
        raise InputError(f"model {name}: returned {type(network).__name__}, not a torch.nn.Module")
    return network


def _load(target: str) -> Any:
    """Import and return the function or class. Raises InputError with the file of an external module that fails."""
    module, _, name = target.partition(":")
    outside = module not in {known for registered in MODELS.values() for known in registered.modules}
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        if not outside:
            raise
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{find_source(module)}: {name} of model {target!r} cannot be imported: {type(error).__name__}: {reason}"
        ) from error
