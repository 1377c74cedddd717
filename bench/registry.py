"""Every network by name. The harness knows networks only as these strings, so that planning imports no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import InputError, did_you_mean
from bench.model_args import ARGUMENTS
from bench.schema import parse_strict

if TYPE_CHECKING:
    from torch import nn

FASTGAN = "Liu et al. 2021, arXiv 2101.04775"
SINGAN = "Rott Shaham et al. 2019, arXiv 1905.01164"
RESNET = "He et al. 2016, arXiv 1512.03385"
RESNEXT = "Xie et al. 2017, arXiv 1611.05431"
SENET = "Hu et al. 2018, arXiv 1709.01507"
SLIM = "Shen and Wu 2021, arXiv 2112.14804"


@dataclass(frozen=True)
class Entry:
    """`target` is "module:function"; the function takes the keyword arguments of bench.model_args.ARGUMENTS[name]."""

    target: str
    task: str
    source: str


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
    if name not in MODELS:
        raise InputError(f"model {name!r} is not known{did_you_mean(name, MODELS)}")
    return MODELS[name]


def training_modules(task: str, model: str) -> tuple[str, ...]:
    """Where the code that trains a network starts: the engine's imports do not name the networks."""
    names = (model, "fastgan-discriminator") if task == "fewshot" else (model,)
    networks = {MODELS[name].target.partition(":")[0] for name in names if name in MODELS}
    return ("bench.train.startup", f"bench.train.{task}.engine", *sorted(networks))


def create_model(name: str, **overrides: Any) -> nn.Module:
    """Build a network; an unknown name or argument is an InputError that names the nearest one."""
    module, function = entry(name).target.split(":")
    arguments = parse_strict(ARGUMENTS[name], overrides, f"model {name}")
    build = getattr(importlib.import_module(module), function)
    try:
        return build(**arguments.given())
    except ValueError as error:  # each argument is right by itself, but not together
        raise InputError(f"model {name}: {error}") from error
