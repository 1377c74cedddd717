"""Same-layer SLIM equals its equation computed in a loop over groups; errors."""

import inspect

import pytest
import torch
from torch.nn import functional as F

import slim
from slim._narrow_conv import NarrowConv2d, merge_groups
from slim.same import LiteralSameLayerSLIM, SameLayerSLIM, gate
from tests.helpers.properties import error


def loop_reference(module: SameLayerSLIM, x: torch.Tensor) -> torch.Tensor:
    """Compute the equation in a loop over groups. Group g has rows g*n..(g+1)*n of the grouped layers."""

    def part(tensor: torch.Tensor, group: int) -> torch.Tensor:
        return tensor.chunk(module.groups)[group]

    def branch(layers: torch.nn.Sequential, value: torch.Tensor, group: int, padding: int) -> torch.Tensor:
        first, norm, _, second = layers
        value = F.conv2d(value, part(first.weight, group), padding=padding)
        value = F.batch_norm(value, None, None, part(norm.weight, group), part(norm.bias, group), True)
        return F.conv2d(F.relu(value), part(second.weight, group), part(second.bias, group), padding=padding)

    outputs = []
    for group, slice_ in enumerate(x.chunk(module.groups, 1)):
        query = branch(module.query, slice_, group, 1)
        key = branch(module.key, slice_.mean((2, 3), keepdim=True), group, 0)
        value = F.conv2d(slice_, part(module.value.weight, group), part(module.value.bias, group), padding=1)
        outputs.append(torch.softmax(query * key, dim=1) * value)
    out = torch.cat(outputs, 1)
    return F.avg_pool2d(out, 2, ceil_mode=True) if module.stride == 2 else out


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module


@pytest.mark.parametrize(
    ("channels", "groups", "stride", "size"), [(32, 4, 1, 6), (32, 1, 2, 7), (48, 2, 2, 4), (12, 4, 1, 5)]
)
def test_same_layer_slim_equals_the_loop_over_groups(channels: int, groups: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    module = randomised(SameLayerSLIM(channels=channels, groups=groups, stride=stride)).double()
    x = torch.randn(3, channels, size, size, dtype=torch.double, requires_grad=True)
    out, expected = module(x), loop_reference(module, x)
    assert out.shape == (3, channels, -(-size // stride), -(-size // stride))
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    probe = torch.randn_like(out)
    ours = torch.autograd.grad((out * probe).sum(), [x, *module.parameters()])
    theirs = torch.autograd.grad((expected * probe).sum(), [x, *module.parameters()])
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("inputs", "outputs", "merged"), [(16, 4, 2), (4, 16, 2), (8, 4, 4), (2, 2, 4), (5, 3, 1)])
def test_merged_groups_are_the_same_map(inputs: int, outputs: int, merged: int) -> None:
    """Merging changes only the speed, so the layer gives the same values with and without gradients."""
    torch.manual_seed(0)
    conv = NarrowConv2d(4 * inputs, 4 * outputs, 3, padding=1, groups=4).double()
    x = torch.randn(2, 4 * inputs, 5, 6, dtype=torch.double)
    weight = merge_groups(conv.weight, 4, merged)
    assert weight.shape == (4 * outputs, merged * inputs, 3, 3)
    reference = F.conv2d(x, conv.weight, conv.bias, padding=1, groups=4)
    torch.testing.assert_close(F.conv2d(x, weight, conv.bias, padding=1, groups=4 // merged), reference)
    torch.testing.assert_close(conv(x), reference)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), reference)


def test_gate_values_agree_with_the_reference() -> None:
    """Two groups of two channels at one position give softmax((ln 3, 0)) = (3/4, 1/4), softmax((0, 0)) = (1/2, 1/2)."""
    query = torch.tensor([3.0, 1.0, 5.0, 7.0]).log().view(1, 4, 1, 1)
    key = torch.tensor([1.0, 9.0, 0.0, 0.0]).view(1, 4, 1, 1)
    value = torch.tensor([8.0, 8.0, -2.0, 6.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(gate(query, key, value, 2).flatten(), torch.tensor([6.0, 2.0, -1.0, 3.0]))


def test_the_constructor_has_the_documented_arguments() -> None:
    for module in (slim.SameLayerSLIM, slim.LiteralSameLayerSLIM):
        parameters = inspect.signature(module).parameters.values()
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
        defaults = [(parameter.name, parameter.default) for parameter in parameters]
        assert defaults == [("channels", inspect.Parameter.empty), ("groups", 4), ("ratio", 4), ("stride", 1)]


def test_groups_do_not_mix() -> None:
    module = SameLayerSLIM(channels=16, groups=4).eval()
    x = torch.randn(2, 16, 5, 5)
    changed = x.clone()
    changed[:, 4:8] += 1
    difference = (module(x) - module(changed)).abs().amax((0, 2, 3))
    assert difference[4:8].min() > 0
    assert difference[:4].max() == 0 and difference[8:].max() == 0


def test_odd_sizes_pool_over_existing_positions() -> None:
    module = SameLayerSLIM(channels=8, groups=2).eval()
    strided = SameLayerSLIM(channels=8, groups=2, stride=2).eval()
    strided.load_state_dict(module.state_dict())
    x = torch.randn(1, 8, 5, 5)
    full, pooled = module(x), strided(x)
    torch.testing.assert_close(pooled[:, :, 2, 2], full[:, :, 4, 4])
    torch.testing.assert_close(pooled[:, :, 0, 2], full[:, :, :2, 4].mean(2))


def test_initialisation_has_the_fan_of_one_group() -> None:
    module = SameLayerSLIM(channels=512, groups=4)
    assert module.value.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert module.key[0].weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.02)
    assert module.value.bias.abs().max() == 0


def test_hidden_width_is_at_least_four() -> None:
    assert SameLayerSLIM(channels=16, groups=4, ratio=4).query[0].out_channels == 4 * 4
    assert SameLayerSLIM(channels=256, groups=4, ratio=4).query[0].out_channels == 4 * 16


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_literal_variant_equals_its_value_path_times_a_skip_layer_gate(groups: int, stride: int) -> None:
    torch.manual_seed(0)
    module = randomised(LiteralSameLayerSLIM(channels=16, groups=groups, stride=stride)).eval()
    x = torch.randn(2, 16, 6, 6)
    skip, value = module.skip, module.value(x)
    masks, styles = skip._masks(x, None), skip._styles(x)  # [B, G, h, w], [B, G, C]
    weight = 1 + torch.einsum("bghw,bgc->bchw", masks, styles) / (masks.sum(1, keepdim=True) + 1e-6)
    expected = value * weight
    if stride == 2:
        expected = F.avg_pool2d(expected, 2)
    torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)


def test_literal_variant_needs_groups() -> None:
    with pytest.raises(ValueError, match="constant"):
        LiteralSameLayerSLIM(channels=16, groups=1)


@pytest.mark.parametrize("kind", [SameLayerSLIM, LiteralSameLayerSLIM])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 30, "groups": 4}, "divisible by groups, got 30 channels and 4 groups"),
        ({"channels": 16, "stride": 3}, "stride must be 1 or 2, got 3"),
        ({"channels": 16, "ratio": 0}, "must be positive, got 16, 4, 0"),
        ({"channels": 16, "groups": 0}, "must be positive, got 16, 0, 4"),
    ],
)
def test_invalid_options_are_refused_at_construction(kind: type, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


def test_invalid_shapes_are_refused_in_forward() -> None:
    with pytest.raises(ValueError, match=r"expected \[B, 16, H, W\], got \[2, 8, 4, 4\]"):
        SameLayerSLIM(channels=16)(torch.zeros(2, 8, 4, 4))


@pytest.mark.parametrize("kind", [SameLayerSLIM, LiteralSameLayerSLIM])
@pytest.mark.parametrize("channels", [32, 64])
def test_channels_last_and_contiguous_agree(kind: type, channels: int) -> None:
    module = kind(channels=channels)
    x = torch.randn(2, channels, 8, 8)
    plain, last = module(x), module(x.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert error(last, plain) < 2e-5
    module, x = module.double(), x.double()  # the gradient of a bias before a batch norm is zero up to rounding
    plain, last = module(x), module(x.to(memory_format=torch.channels_last))
    parameters, probe = list(module.parameters()), torch.randn_like(plain)
    gradients = [torch.autograd.grad((out * probe).sum(), parameters) for out in (plain, last)]
    largest = max(gradient.abs().max() for gradient in gradients[0])
    assert all((a - b).abs().max() < 1e-9 * largest for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("kind", [SameLayerSLIM, LiteralSameLayerSLIM])
def test_same_layer_slim_compiles_to_one_graph(kind: type) -> None:
    module = kind(channels=64, stride=2).eval()
    x = torch.randn(2, 64, 8, 8).to(memory_format=torch.channels_last)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), module(x))
