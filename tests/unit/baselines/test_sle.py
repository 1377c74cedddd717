"""SLE gate: equation, residual control, errors, and properties common to all gates."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from baselines.ops.spectral_norm import SpectralNorm
from baselines.sle import SLEGate
from tests.helpers.properties import error


@pytest.mark.parametrize("low_size", [4, 8, 12, 6, 5])
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_the_gate_equals_its_equation(low_size: int, residual: bool) -> None:
    """Holds also for sizes that 4 does not divide."""
    torch.manual_seed(0)
    gate = SLEGate(low_channels=6, high_channels=5, residual=residual, spectral_norm=False)
    with torch.no_grad():
        gate.conv1.weight.mul_(20), gate.conv2.weight.mul_(20)
    low, high = torch.randn(3, 6, low_size, low_size), torch.randn(3, 5, 9, 7)
    hidden = F.conv2d(F.adaptive_avg_pool2d(low, 4), gate.conv1.weight)
    factor = torch.sigmoid(F.conv2d(hidden * torch.sigmoid(hidden), gate.conv2.weight))
    assert error(gate(low, high), high * (factor + residual)) < 1e-6


def test_parameters_of_each_pair_at_64_base_channels() -> None:
    counts = {}
    for target, channels in {64: (1024, 128), 128: (512, 64), 256: (256, 32), 512: (128, 16)}.items():
        gate = SLEGate(low_channels=channels[0], high_channels=channels[1])
        counts[target] = sum(p.numel() for p in gate.parameters())
    assert counts == {64: 2_113_536, 128: 528_384, 256: 132_096, 512: 33_024}


@pytest.mark.parametrize(("low", "high"), [((2, 5, 4, 4), (2, 5, 8, 8)), ((2, 6, 4, 4), (2, 6, 8, 8))], ids=str)
def test_channel_mismatch_is_refused(low: tuple[int, ...], high: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected low and high with \(6, 5\) channels"):
        SLEGate(low_channels=6, high_channels=5)(torch.zeros(low), torch.zeros(high))


def test_batch_mismatch_and_empty_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        SLEGate(low_channels=6, high_channels=5)(torch.zeros(2, 6, 4, 4), torch.zeros(3, 5, 8, 8))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        SLEGate(low_channels=0, high_channels=5)


@pytest.mark.parametrize("dim", [0, 1])
def test_spectral_norm_follows_torchs_over_training_steps(dim: int) -> None:
    """Compares weight, gradient, u and v from equal state, in training and evaluation."""
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 4, 4) if dim else nn.Conv2d(6, 4, 3)
    theirs = spectral_norm(copy.deepcopy(layer), dim=dim)
    reference = theirs.parametrizations.weight[0]
    ours = SpectralNorm(layer.weight, dim)
    ours.u.copy_(reference._u)
    ours.v.copy_(reference._v)
    for _ in range(3):
        weight, probe = theirs.parametrizations.weight.original, torch.randn_like(layer.weight)
        expected, value = theirs.weight, ours(weight)
        gradients = [torch.autograd.grad((w * probe).sum(), weight)[0] for w in (expected, value)]
        assert error(value, expected) < 5e-6
        assert error(gradients[1], gradients[0]) < 1e-5
        assert error(ours.u, reference._u) < 1e-5
        assert error(ours.v, reference._v) < 1e-5
        with torch.no_grad():
            weight.sub_(0.1 * gradients[0])
    before = ours.u.clone()
    assert error(ours.eval()(layer.weight), theirs.eval().weight) > 0  # with a changed weight the norm changes too
    assert torch.equal(ours.u, before)
