"""Properties of every registered network. A network that is not in CASES fails a test."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from bench.registry import MODELS, create_model
from tests.helpers import properties

Shape = tuple[int, ...]
BATCH = 4
SINGAN = ("conv.bias", *(name for name in properties.SLIM_FEEDS_NORM if name.startswith("mask")))  # without style norm


class AllScales(nn.Module):
    """Networks of all pyramid scales: (noisy, previous) -> the image of each scale."""

    def __init__(self, pyramid: nn.Module) -> None:
        super().__init__()
        self.scales = pyramid.scales

    def forward(self, noisy: Tensor, previous: Tensor) -> tuple[Tensor, ...]:
        return tuple(scale(noisy, previous) for scale in self.scales)


class WithParts(nn.Module):
    """Discriminator with decoders that returns logits and reconstructions."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image: Tensor, small: Tensor) -> tuple[Tensor, ...]:
        logits, decoded = self.discriminator(image, small, part=2)
        return logits, *decoded


class Case(NamedTuple):
    """Arguments, input and output shapes without batch, wrapper, and name endings of biases before a norm."""

    arguments: dict[str, object]
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module
    feeds_norm: tuple[str, ...] = ()


def generator(size: int, **arguments: object) -> Case:
    given = {"image_size": size, "base_channels": 8, "latent_dim": 16, **arguments}
    feeds = properties.SLIM_FEEDS_NORM if "pairs" in arguments else ()
    return Case(given, ((16,),), ((3, size, size), (3, size // 2, size // 2)), feeds_norm=feeds)


def discriminator(size: int) -> Case:
    inputs = ((3, size, size), (3, size // 2, size // 2))
    arguments = {"image_size": size, "base_channels": 8, "decoder_scaled": True}
    return Case(arguments, inputs, ((50,), *((3, size, size),) * 3), WithParts)


def pyramid(height: int, width: int) -> Case:
    arguments = {"height": 40, "width": 48, "base_channels": 8}
    scales = len(create_model("singan", **arguments).sizes)
    border = (3, height + 10, width + 10)
    return Case(arguments, (border, border), ((3, height, width),) * scales, AllScales, SINGAN)


def classifier(height: int, width: int, **arguments: object) -> Case:
    return Case({"num_classes": 7, **arguments}, ((3, height, width),), ((7,),))


CASES = {
    "fastgan-sle": (generator(64), generator(128)),
    "fastgan-slim": (generator(64, pairs=[64], reduction=4), generator(128, pairs=[64, 128], reduction=4)),
    "fastgan-discriminator": (discriminator(64), discriminator(128)),
    "singan": (pyramid(25, 30), pyramid(33, 20)),
    "singan-slim": (pyramid(25, 30), pyramid(33, 20)),
    "resnet": (classifier(28, 28), classifier(33, 24)),
    "resnext": (classifier(28, 28, groups=8, group_width=4), classifier(33, 24, groups=8, group_width=4)),
    "slim-resnet": (classifier(28, 28), classifier(33, 24)),
} | {name: (classifier(64, 64), classifier(49, 70)) for name in MODELS if "50" in name or "101" in name}
PYRAMIDS = [name for name in MODELS if name.startswith("singan")]
every_network = pytest.mark.parametrize("name", MODELS)


def made(name: str, case: Case) -> nn.Module:
    torch.manual_seed(0)
    return case.wrap(create_model(name, **case.arguments))


def random_inputs(case: Case) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(BATCH, *shape) for shape in case.inputs]


def biases(module: nn.Module, case: Case) -> list[str]:
    return [name for name, _ in module.named_parameters() if case.feeds_norm and name.endswith(case.feeds_norm)]


@every_network
def test_shapes_and_finite_values_over_sizes(name: str) -> None:
    for case in CASES[name]:
        with torch.no_grad():
            out = properties.outputs(made(name, case), random_inputs(case))
        assert [tuple(value.shape[1:]) for value in out] == list(case.outputs)
        assert all(value.shape[0] == BATCH and value.isfinite().all() for value in out)


@every_network
def test_every_parameter_has_a_gradient(name: str) -> None:
    case = CASES[name][0]
    module = made(name, case)
    properties.check_gradients(module, random_inputs(case), biases(module, case))


@every_network
def test_an_image_does_not_depend_on_its_batch_in_evaluation(name: str) -> None:
    case = CASES[name][0]
    properties.check_batch_independence(made(name, case), random_inputs(case))


@every_network
def test_layouts_agree(name: str) -> None:
    case = CASES[name][0]
    properties.check_channels_last(made(name, case).eval(), random_inputs(case))


@every_network
def test_bf16_autocast_is_close_to_float32(name: str) -> None:
    case = CASES[name][0]
    properties.check_autocast(made(name, case), random_inputs(case), tolerance=0.05)


@every_network
def test_state_passes_through_safetensors(name: str, tmp_path: Path) -> None:
    case = CASES[name][0]
    other = case.wrap(create_model(name, **case.arguments))
    properties.check_round_trip(made(name, case), other, random_inputs(case), tmp_path)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_the_graph_of_a_pyramid_has_the_right_gradients(name: str) -> None:
    """test_fastgan_properties.py tests generated code and FastGAN's generators, which are the same at 64 px."""
    case = CASES[name][0]
    properties.check_compile(made(name, case), random_inputs(case), "aot_eager_decomp_partition")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_network
def test_two_runs_on_a_gpu_are_equal_bit_for_bit(name: str) -> None:
    case, gradients = CASES[name][0], []
    for _ in range(2):
        module = made(name, case).cuda()
        inputs = [value.cuda() for value in random_inputs(case)]
        sum(out.square().sum() for out in properties.outputs(module, inputs)).backward()
        gradients.append([p.grad for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
