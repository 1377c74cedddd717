"""Properties of every gate, generator and discriminator. CASES lists them."""

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import baselines.fastgan
import slim.fastgan
from baselines.fastgan import SLEGate
from slim import SkipLayerSLIM
from tests.helpers import properties

GATE = {"low_channels": 64, "high_channels": 8}


class Case(NamedTuple):
    """Constructor, input shapes, and biases whose effect a batch norm cancels."""

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    feeds_norm: tuple[str, ...] = ()

    def inputs(self) -> list[Tensor]:
        torch.manual_seed(1)
        return [torch.randn(shape) for shape in self.shapes]


def slim_biases(prefix: str = "") -> tuple[str, ...]:
    return tuple(f"{prefix}{name}" for name in properties.SLIM_FEEDS_NORM)


def gate(**options: object) -> Case:
    options = {**GATE, "reduction": 4, **options}
    feeds = [name for name in slim_biases() if options.get(name.split(".")[0], True)]
    if not options.get("style_norm", True):
        feeds.remove("style.fc1.bias")
    return Case(lambda: SkipLayerSLIM(**options), ((4, 64, 8, 8), (4, 8, 32, 32)), tuple(feeds))


def slim_generator(**options: object) -> Case:
    options = {"image_size": 64, "base_channels": 8, "latent_dim": 16, "pairs": (64,), "reduction": 4, **options}
    pairs = options["pairs"]
    feeds = tuple(name for size in pairs for name in slim_biases(f"gates.{size}."))
    return Case(lambda: slim.fastgan.generator(**options), ((4, 16),), feeds)


def sle_generator(**options: object) -> Case:
    options = {"image_size": 64, "base_channels": 8, "latent_dim": 16, **options}
    return Case(lambda: baselines.fastgan.generator(**options), ((4, 16),))


class WithParts(nn.Module):
    """Discriminator with decoders that returns all outputs as one tuple."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.discriminator = baselines.fastgan.discriminator(**options)

    def forward(self, image: Tensor, small: Tensor) -> tuple[Tensor, ...]:
        logits, decoded = self.discriminator(image, small, part=1)
        return logits, *decoded


GATES = {
    "slim": gate(),
    "slim noise": gate(mask_noise=True),
    "slim masks only": gate(style=False, normalise=False),
    "slim style only": gate(mask=False, allow_constant=True),
    "slim shared": gate(shared=True),
    "slim one group": gate(groups=1, normalise=False),
    "slim no residual": gate(residual=False),
    "slim as in SinGAN": gate(reduction=1, dilation=5, spectral_norm=False, style_norm=False),
    "slim non-integer": gate()._replace(shapes=((4, 64, 7, 9), (4, 8, 20, 17))),
    "sle": Case(lambda: SLEGate(**GATE), ((4, 64, 8, 8), (4, 8, 32, 32))),
    "sle residual": Case(lambda: SLEGate(**GATE, residual=True), ((4, 64, 8, 8), (4, 8, 32, 32))),
}
GENERATORS = {
    "sle 64": sle_generator(),
    "sle-residual 64": sle_generator(gate="sle-residual"),
    "no gates 64": sle_generator(gate="none"),
    "slim 64": slim_generator(),
    "slim 128, noise": slim_generator(image_size=128, pairs=(64, 128), mask_noise=True),
}
DISCRIMINATORS = {
    size: Case(
        lambda size=size: WithParts(image_size=size, base_channels=8, decoder_scaled=True),
        ((4, 3, size, size), (4, 3, size // 2, size // 2)),
    )
    for size in (64, 128)
}
CASES = {**GATES, **GENERATORS, **{f"discriminator {size}": case for size, case in DISCRIMINATORS.items()}}
COMPILED = ("slim noise", "sle")
every_network = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_gate_and_generator = pytest.mark.parametrize(
    "case", (GATES | GENERATORS).values(), ids=(GATES | GENERATORS).keys()
)


def build(case: Case) -> nn.Module:
    torch.manual_seed(0)
    return case.make()


def warmed_up(case: Case) -> nn.Module:
    """Return a network whose running statistics match its activations, as after some training."""
    module = build(case)
    for _ in range(20):
        with torch.no_grad():
            properties.outputs(module, case.inputs())
    return module


@every_network
def test_every_parameter_has_a_gradient(case: Case) -> None:
    properties.check_gradients(build(case), case.inputs(), case.feeds_norm)


@every_network
def test_an_image_does_not_depend_on_its_batch_in_evaluation(case: Case) -> None:
    module = warmed_up(case)
    with torch.no_grad():  # noise is drawn for each position in the batch
        for name, parameter in module.named_parameters():
            if "noise" in name:
                parameter.zero_()
    properties.check_batch_independence(module, case.inputs())


@every_network
def test_layouts_agree(case: Case) -> None:
    properties.check_channels_last(build(case).eval(), case.inputs())


@every_network
def test_bf16_autocast_is_close_to_float32(case: Case) -> None:
    properties.check_autocast(warmed_up(case), case.inputs(), tolerance=0.05)


@every_network
def test_state_passes_through_safetensors(case: Case, tmp_path: Path) -> None:
    torch.manual_seed(5)
    properties.check_round_trip(warmed_up(case), case.make(), case.inputs(), tmp_path)


@every_gate_and_generator
def test_the_traced_graph_has_the_right_gradients(case: Case) -> None:
    """The compiler traces, decomposes and splits the graph into forward and backward, without generating code."""
    properties.check_compile(build(case), case.inputs(), "aot_eager_decomp_partition")


def compiled_cases() -> list[object]:
    """Return the cases for generated code: a few by default, all with `-m compiled`, because all take minutes."""
    cases = GATES | GENERATORS
    return [
        pytest.param(case, id=name, marks=pytest.mark.slow if name in COMPILED else pytest.mark.compiled)
        for name, case in cases.items()
    ]


can_compile = shutil.which(os.environ.get("CXX", "g++")) and Path(sysconfig.get_path("include"), "Python.h").exists()
needs_compiler = pytest.mark.skipif(not can_compile, reason="generated code needs a C++ compiler and Python's headers")


@needs_compiler
@pytest.mark.parametrize("case", compiled_cases())
def test_compiled_code_runs_on_the_cpu(case: Case) -> None:
    properties.check_compile(build(case), case.inputs(), "inductor")


@needs_compiler
@pytest.mark.slow
def test_a_compiled_generator_generates_the_same_images() -> None:
    """Only the forward pass is compiled, because the backward pass would take three times as long."""
    properties.check_compiled_forward(build(GENERATORS["slim 64"]), GENERATORS["slim 64"].inputs())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_network
def test_two_runs_on_a_gpu_are_equal_bit_for_bit(case: Case) -> None:
    gradients = []
    for _ in range(2):
        module = build(case).cuda()
        inputs = [value.cuda() for value in case.inputs()]
        sum(out.square().sum() for out in properties.outputs(module, inputs)).backward()
        gradients.append([p.grad for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
