"""The networks of the reference loop, the baseline for speed and losses, equal the networks of this project."""

import pytest
import torch
from torch import nn

from baselines.fastgan import discriminator, generator
from reference.fastgan import SLIM, ReferenceDiscriminator, ReferenceGenerator
from reference.slim_gate import ReferenceSLIM, copy_state
from slim import SkipLayerSLIM


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy weights by position, because both networks list their layers in the same order."""
    for a, b in ((source.parameters(), target.parameters()), (source.buffers(), target.buffers())):
        for ours, theirs in zip(a, b, strict=True):
            assert ours.shape == theirs.shape
            theirs.data.copy_(ours.data)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-4 * b.abs().max())


@pytest.mark.parametrize("size", [256, 1024])
def test_generators_agree(size):
    torch.manual_seed(0)
    ours, plain = generator(image_size=size, base_channels=8), ReferenceGenerator(size, 8, slim=())
    copy_weights(ours, plain)
    z = torch.randn(2, 256)
    for a, b in zip(ours(z), plain(z), strict=True):
        assert close(a, b)


def test_gates_agree():
    """The gate of the timed reference network equals the reference gate of the unit tests."""
    torch.manual_seed(0)
    sides = {"low_channels": 128, "high_channels": 16}
    gate, reference, plain = SkipLayerSLIM(**sides), ReferenceSLIM(**sides), SLIM(128, 16)
    copy_state(reference, gate)
    names = ["fc1", "fc_norm", "fc2", "conv_in", "norm_in", "convs.0", "norms.0", "convs.1", "norms.1", "conv_out"]
    for branch, group in zip(reference.branches, plain.groups, strict=True):
        layers = [layer for layer in (*group.style, *group.mask) if list(layer.parameters())]
        for name, layer in zip(names, layers, strict=True):
            layer.load_state_dict(branch.get_submodule(name).state_dict())
    low, high = torch.randn(4, 128, 8, 8), torch.randn(4, 16, 128, 128)
    assert close(gate(low, high), plain(low, high))


@pytest.mark.parametrize("size", [256, 1024])
def test_discriminators_agree(size):
    torch.manual_seed(0)
    ours, plain = discriminator(image_size=size, base_channels=8), ReferenceDiscriminator(8, size)
    copy_weights(ours, plain)
    image, small = torch.randn(2, 3, size, size), torch.randn(2, 3, 128, 128)
    logits, decoded = ours(image, small, 2)
    plain_logits, plain_decoded = plain(image, small, 2)
    assert logits.shape == (2, 50) and close(logits, plain_logits)
    assert all(close(a, b) for a, b in zip(decoded, plain_decoded, strict=True))
