"""Registered networks and engines have the members that bench.networks and bench.train.loop.engine require."""

from typing import Any

import pytest
import torch

from bench.errors import InputError
from bench.experiments import require
from bench.networks import GeneratorNetwork, PyramidNetwork
from bench.registry import MODELS, create_model
from bench.run import Compute, OneShotRecipe
from bench.train.loop.engine import Engine
from bench.train.oneshot.scale import ScaleTraining
from bench.train.startup import ENGINES, engine_class

SMALL: dict[str, dict[str, Any]] = {
    "fewshot": {"image_size": 64, "base_channels": 16},
    "oneshot": {"height": 40, "width": 44, "base_channels": 4},
}
KINDS = {"fewshot": GeneratorNetwork, "oneshot": PyramidNetwork}


def members(protocol: type) -> set[str]:
    named = {*protocol.__annotations__, *(name for name in vars(protocol) if not name.startswith("_"))}
    return {name for name in named if not name.startswith("_")}


@pytest.mark.parametrize("name", ["fastgan-sle", "fastgan-slim", "singan", "singan-slim"])
def test_a_network_implements_its_interface(name):
    task = MODELS[name].task
    arguments = SMALL[task] | ({"pairs": (64,)} if name == "fastgan-slim" else {})
    network = create_model(name, **arguments)
    assert members(KINDS[task])
    assert not [member for member in members(KINDS[task]) if not hasattr(network, member)]


@pytest.mark.parametrize("task", ENGINES)
def test_an_engine_implements_the_interface_of_the_loop(task):
    methods = {name for name in members(Engine) if name not in Engine.__annotations__}
    assert {"step", "state_dict", "observe", "export"} <= methods
    assert not [name for name in methods if not callable(getattr(engine_class(task), name, None))]


def test_one_scale_is_trained_and_those_below_are_frozen():
    pyramid = create_model("singan", **SMALL["oneshot"])
    real = torch.zeros(1, 3, *pyramid.sizes[1])
    pyramid.coarsest.zero_()
    ScaleTraining(pyramid, 1, pyramid.new_critic(1), real, OneShotRecipe(), Compute(device="cpu"))
    trained = [all(p.requires_grad for p in network.parameters()) for network in pyramid.scales]
    assert trained == [index == 1 for index in range(len(pyramid.sizes))]


def test_the_error_for_an_unknown_name_suggests_the_nearest():
    assert require("singan", ["singan"], "experiment") == "singan"
    with pytest.raises(InputError, match=r"experiment: 'singann' is not known.*singan"):
        require("singann", ["fastgan-sle", "singan"], "experiment")
