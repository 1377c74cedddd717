"""Skip-layer SLIM equals its reference implementation, branch by branch."""

import copy
import inspect

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from bench.export import fold
from reference.slim_gate import ReferenceSLIM, copy_state, layer_pairs, tensors_of
from slim import SkipLayerSLIM
from slim._branches import GroupedLinear
from tests.helpers.properties import error

SIZES = {"low_channels": 64, "high_channels": 6, "reduction": 4}
VARIANTS = {
    "paper": {},
    "dilation 4, noise": {"dilation": 4, "mask_noise": True},
    "one group": {"groups": 1, "normalise": False},
    "two groups": {"groups": 2},
    "eight groups": {"groups": 8},
    "no 1 +": {"residual": False},
    "no normalisation": {"normalise": False},
    "masks only": {"style": False, "normalise": False},
    "style only": {"mask": False, "allow_constant": True},
    "shared": {"shared": True},
    "shared, noise": {"shared": True, "mask_noise": True},
    "one step": {"steps": 1},
    "no spectral norm": {"spectral_norm": False},
    "SinGAN": {"spectral_norm": False, "style_norm": False, "reduction": 1, "dilation": 5},
}


def test_the_constructor_has_the_documented_arguments() -> None:
    parameters = inspect.signature(SkipLayerSLIM).parameters.values()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    defaults = {parameter.name: parameter.default for parameter in parameters}
    assert [name for name, value in defaults.items() if value is inspect.Parameter.empty] == [
        "low_channels",
        "high_channels",
    ]
    numbers = {"groups": 4, "reduction": 16, "dilation": 2, "steps": 2}
    switches = {"residual": True, "normalise": True, "mask_noise": False, "style": True, "mask": True, "shared": False}
    assert defaults.items() >= (numbers | switches).items()
    assert {"spectral_norm", "style_norm"} <= set(defaults)


def pair(**options: object) -> tuple[ReferenceSLIM, SkipLayerSLIM]:
    reference, gate = ReferenceSLIM(**{**SIZES, **options}), SkipLayerSLIM(**{**SIZES, **options})
    copy_state(reference, gate)
    return reference, gate


def stacked(
    reference: ReferenceSLIM, gate: SkipLayerSLIM, gradients: bool
) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield (name, reference value, gate value) for every tensor of every layer."""
    rows = []
    for parts, layer in layer_pairs(reference, gate):
        for name, ours in tensors_of(layer).items():
            theirs = [tensors_of(part)[name] for part in parts]
            if gradients:
                if ours.grad is None:
                    continue
                theirs, ours = [value.grad for value in theirs], ours.grad
            rows.append((name, torch.cat(theirs).reshape(ours.shape), ours))
    return rows


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_the_gate_equals_separate_branches_over_three_training_steps(
    options: dict[str, object], dtype: torch.dtype, tolerance: float
) -> None:
    """Compares output, input gradients, parameter gradients, u, v and running statistics from equal state."""
    torch.manual_seed(0)
    reference, gate = (network.to(dtype) for network in pair(**options))
    networks = (reference, gate)
    optimisers = [torch.optim.SGD(network.parameters(), lr=0.05) for network in networks]
    for _ in range(3):
        shapes = ((4, 64, 6, 6), (4, 6, 24, 24), (4, 6, 24, 24), (4, 1, 6, 6))
        low, high, probe, noise = (torch.randn(shape, dtype=dtype) for shape in shapes)
        results = []
        for network, optimiser in zip(networks, optimisers, strict=True):
            leaves = [low.clone().requires_grad_(), high.clone().requires_grad_()]
            optimiser.zero_grad()
            out = network(*leaves, noise if options.get("mask_noise") else None)
            (out * probe).mean().backward()
            results.append([out, *(leaf.grad for leaf in leaves if leaf.grad is not None)])
        for theirs, ours in zip(*results, strict=True):
            assert error(ours, theirs) < tolerance
        rows = stacked(reference, gate, gradients=True)
        largest = max(theirs.abs().max() for _, theirs, _ in rows)
        for (
            name,
            theirs,
            ours,
        ) in rows:  # relative to the largest: a bias before a BN has no gradient
            assert (ours - theirs).abs().max() <= tolerance * largest, name
        for optimiser in optimisers:
            optimiser.step()
    rows = stacked(reference, gate, gradients=False)
    assert {name for name, _, _ in rows} >= ({"u", "v"} if options.get("spectral_norm", True) else {"weight"})
    for name, theirs, ours in rows:
        assert error(ours, theirs) < tolerance, name


@pytest.mark.parametrize(
    "sizes", [((8, 8), (8, 8)), ((7, 9), (16, 13)), ((13, 11), (9, 7)), ((4, 6), (8, 24))], ids=str
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_gate_equals_the_reference_at_any_sizes(
    sizes: tuple[tuple[int, int], tuple[int, int]], training: bool
) -> None:
    torch.manual_seed(0)
    reference, gate = pair()
    low, high = torch.randn(3, 64, *sizes[0]), torch.randn(3, 6, *sizes[1])
    reference.train(training), gate.train(training)
    assert error(gate(low, high), reference(low, high)) < 1e-5


def test_each_slice_has_a_separate_spectral_norm() -> None:
    """With a single norm over the fused weight, slices would have norms below 1."""
    torch.manual_seed(0)
    gate = SkipLayerSLIM(low_channels=128, high_channels=12, reduction=8)
    with torch.no_grad():
        for layer in gate.modules():
            if parametrize.is_parametrized(layer):
                original = layer.parametrizations.weight.original
                original.mul_(torch.linspace(0.5, 4, original.shape[0]).view(-1, *[1] * (original.ndim - 1)))
    for _ in range(100):
        gate(torch.randn(2, 128, 4, 4), torch.randn(2, 12, 8, 8))
    layers = [layer for layer in gate.eval().modules() if parametrize.is_parametrized(layer)]
    assert len(layers) == 6
    for layer in layers:
        slices = layer.weight.reshape(4, layer.weight.shape[0] // 4, -1)
        assert torch.allclose(torch.linalg.matrix_norm(slices, ord=2), torch.ones(4), atol=1e-4)


def test_folding_gives_the_module_without_spectral_norm() -> None:
    gate = SkipLayerSLIM(**SIZES).eval()
    plain = SkipLayerSLIM(**SIZES, spectral_norm=False).eval()
    plain.load_state_dict(fold(gate).state_dict())
    low, high = torch.randn(2, 64, 4, 4), torch.randn(2, 6, 16, 16)
    assert error(plain(low, high), gate(low, high)) < 1e-6


def test_evaluation_changes_no_buffer_and_training_does() -> None:
    gate = SkipLayerSLIM(**SIZES)
    with torch.no_grad():  # changed weights, for which u and v have not converged
        for layer in gate.modules():
            if parametrize.is_parametrized(layer):
                layer.parametrizations.weight.original.normal_()
    low, high = torch.randn(2, 64, 4, 4), torch.randn(2, 6, 16, 16)
    before = copy.deepcopy(gate.state_dict())
    gate.eval()(low, high)
    assert all(torch.equal(value, before[name]) for name, value in gate.state_dict().items())
    gate.train()(low, high)
    changed = {name for name, value in gate.state_dict().items() if not torch.equal(value, before[name])}
    single_output = "mask.9.parametrizations.weight.0.u"  # one value of magnitude 1 for each group
    assert changed - {single_output} == {name for name, _ in gate.named_buffers()} - {single_output}


def test_initial_weights_have_the_documented_distributions() -> None:
    """Convs are N(0, 0.02) with zero bias, BN N(1, 0.02), linear layers within torch's bound 1/sqrt(fan_in)."""
    torch.manual_seed(0)
    gate = SkipLayerSLIM(low_channels=4096, high_channels=64, spectral_norm=False)
    convs = torch.cat([layer.weight.flatten() for layer in gate.modules() if isinstance(layer, nn.Conv2d)])
    assert abs(convs.std().item() - 0.02) < 4e-4
    assert all(not layer.bias.any() for layer in gate.modules() if isinstance(layer, nn.Conv2d))
    norms = torch.cat([n.weight for n in gate.modules() if isinstance(n, (nn.BatchNorm1d, nn.BatchNorm2d))])
    assert abs(norms.mean().item() - 1) < 3e-3
    assert abs(norms.std().item() - 0.02) < 2e-3
    linears = [layer for layer in gate.modules() if isinstance(layer, GroupedLinear)]
    assert [layer.weight.shape[1] for layer in linears] == [1024, 64]
    for layer in linears:
        bound = layer.weight.shape[1] ** -0.5
        for values in (layer.weight, layer.bias):
            assert 0.9 * bound < values.abs().max() <= bound
    assert gate.noise_weight is None
    assert SkipLayerSLIM(**SIZES, mask_noise=True).noise_weight.item() == 0


def test_noise_is_one_new_map_per_image() -> None:
    gate = SkipLayerSLIM(**SIZES, mask_noise=True).eval()
    low, high = torch.randn(2, 64, 4, 4), torch.randn(2, 6, 16, 16)
    assert torch.equal(gate(low, high), gate(low, high))
    with torch.no_grad():
        gate.noise_weight.fill_(1.0)
    assert not torch.equal(gate(low, high), gate(low, high))
    noise = torch.randn(2, 1, 4, 4)
    assert torch.equal(gate(low, high, noise), gate(low, high, noise))


def spread(gate: SkipLayerSLIM) -> float:
    """Return the largest difference of w between positions of one image and channel."""
    torch.manual_seed(0)
    w = gate.eval()(torch.randn(2, 64, 8, 8), torch.ones(2, 6, 32, 32)).flatten(2)
    return (w.amax(2) - w.amin(2)).max().item()


CONSTANT = [{"mask": False}, {"mask": False, "normalise": False}, {"groups": 1}, {"style": False}]


@pytest.mark.parametrize("options", CONSTANT, ids=str)
def test_a_gate_constant_over_positions_is_refused_unless_declared(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="constant over positions"):
        SkipLayerSLIM(**SIZES, **options)
    torch.manual_seed(0)
    assert spread(SkipLayerSLIM(**SIZES, **options, allow_constant=True)) < 1e-4
    assert spread(SkipLayerSLIM(**SIZES)) > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"low_channels": 63}, "63, 4"),
        ({"groups": 0}, "groups and reduction at least 1"),
        ({"reduction": 0}, "groups and reduction at least 1"),
        ({"reduction": 17}, "64 / 4 // 17 = 0"),
        ({"high_channels": 0}, "at least 1"),
        ({"dilation": 0}, "at least 1"),
        ({"steps": -1}, "at least 0"),
        ({"style": False, "mask": False}, "style and mask must not both be False"),
        ({"mask_noise": True, "mask": False}, "needs mask=True"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_with_the_numbers(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SkipLayerSLIM(**{**SIZES, **options})


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ((2, 60, 4, 4), (2, 6, 8, 8), r"expected low \[B, 64, h, w\]"),
        ((2, 64, 4, 4), (2, 5, 8, 8), r"high \[B, 6, H, W\]"),
        ((2, 64, 4), (2, 6, 8, 8), r"got \[2, 64, 4\]"),
        ((2, 64, 4, 4), (3, 6, 8, 8), "equal batch sizes, got 2 and 3"),
    ],
    ids=str,
)
def test_mismatched_maps_are_refused(low: tuple[int, ...], high: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SkipLayerSLIM(**SIZES)(torch.zeros(low), torch.zeros(high))
