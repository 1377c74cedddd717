"""The block-wise product: values, gradients, memory formats, peak memory."""

import pytest
import torch
from torch.nn import functional as F

from bench.metrics.memory import peak_bytes
from slim import SkipLayerSLIM
from slim._modulate import modulate
from tests.helpers.properties import error

SHAPES = {
    "16x": ((2, 3, 4, 2), (2, 3, 64, 32)),
    "unequal": ((2, 3, 4, 5), (2, 3, 8, 15)),
    "equal": ((2, 3, 4, 5), (2, 3, 4, 5)),
    "non-integer": ((2, 3, 4, 5), (2, 3, 9, 12)),
    "smaller": ((2, 3, 6, 5), (2, 3, 4, 4)),
    "one channel": ((2, 1, 4, 2), (2, 1, 8, 4)),
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_modulate_equals_the_product_at_full_size(
    shapes: tuple[tuple[int, ...], ...], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    gate, high, probe = torch.randn(shapes[0]), torch.randn(shapes[1]), torch.randn(shapes[1])
    high = high.contiguous(memory_format=layout)
    results = []
    for product in (modulate, lambda x, w: x * F.interpolate(w, size=x.shape[2:], mode="nearest")):
        leaves = [high.clone().requires_grad_(), gate.clone().requires_grad_()]
        out = product(*leaves)
        (out * probe).sum().backward()
        results.append([out, *(leaf.grad for leaf in leaves)])
    for ours, reference in zip(*results, strict=True):
        assert error(ours, reference) < 5e-6
    assert results[0][0].is_contiguous(memory_format=layout)
    assert results[0][1].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_first_and_second_derivatives_are_correct(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    high = torch.randn(2, 2, 4, 6, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    gate = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(modulate, (high, gate))
    assert torch.autograd.gradgradcheck(modulate, (high, gate))


def test_unneeded_gradients_are_not_computed() -> None:
    high, gate = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 2, 2, requires_grad=True)
    modulate(high, gate).sum().backward()
    assert high.grad is None
    assert error(gate.grad, F.avg_pool2d(high, 2) * 4) < 1e-6


def test_modulate_keeps_the_dtype_of_the_target() -> None:
    out = modulate(torch.randn(1, 2, 4, 4, dtype=torch.bfloat16), torch.randn(1, 2, 2, 2))
    assert out.dtype == torch.bfloat16


def test_peak_memory_of_forward_and_backward_is_below_two_and_a_half_targets() -> None:
    """At 32 -> 512 the peak, excluding inputs, is the output, one gradient and the small maps."""
    gate = SkipLayerSLIM(low_channels=128, high_channels=16, dilation=4, mask_noise=True)
    low, high = torch.randn(4, 128, 32, 32, requires_grad=True), torch.randn(4, 16, 512, 512, requires_grad=True)
    probe = torch.randn_like(high)
    peak = peak_bytes(lambda: gate(low, high).backward(probe))
    assert 2.0 <= peak / (high.numel() * high.element_size()) <= 2.5
