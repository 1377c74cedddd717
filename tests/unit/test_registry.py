"""Every registered network is built from arguments that are validated by the signature of its constructor."""

import pytest

from bench.code_digest import module_path
from bench.config import Configuration
from bench.errors import InputError
from bench.registry import MODELS, create_model, training_modules


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"model 'resnet5' .*'resnet50'"):
        create_model("resnet5")
    with pytest.raises(InputError, match=r"model resnet: blokcs: .*'blocks'"):
        create_model("resnet", blokcs=(1,))
    with pytest.raises(InputError, match="model fastgan-sle: image_size"):
        create_model("fastgan-sle", image_size=100)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fastgan-slim", {"image_size": 64, "base_channels": 8, "groups": 3, "pairs": [64]}),
        ("singan-slim", {"groups": 3}),
        ("resnet", {"groups": 7}),
        ("resnet", {"blocks": []}),
    ],
)
def test_inconsistent_values_give_a_one_line_error(name, args):
    with pytest.raises(InputError, match=f"model {name}: .* got |model {name}: groups must divide"):
        create_model(name, **args)


def small(name, args):
    """Build the network of an experiment with fewer channels. The image size stays, because the pairs depend on it."""
    task = MODELS[name].task
    if task == "fewshot":
        return {"base_channels": 32, "image_size": 64 if args.get("pairs") == [64] else 256} | args
    return {"base_channels": 32, "height": 40, "width": 40} | args if task == "oneshot" else args


EXPERIMENTS = Configuration.load().resolved


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_every_experiment_can_be_built(name):
    model = EXPERIMENTS[name].model
    if "50" in model.name or "101" in model.name:
        import torch

        with torch.device("meta"):
            network = create_model(model.name, **model.args)
    else:
        network = create_model(model.name, **small(model.name, model.args))
    assert sum(parameter.numel() for parameter in network.parameters()) > 0


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_the_digest_covers_the_training_code_of_an_experiment(name):
    experiment = EXPERIMENTS[name]
    modules = training_modules(experiment.task, experiment.model.name)
    assert all(module_path(module) for module in modules)
    assert MODELS[experiment.model.name].target.split(":")[0] in modules
