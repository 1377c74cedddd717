"""FastGAN's batch norm and GLU equal torch's, with more exact statistics and an unchanged memory format on a CPU."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.fastgan_layers import GLU, PART_SIZE, BatchNorm2d
from bench.export import batch_statistics


def large_map() -> torch.Tensor:
    torch.manual_seed(0)
    x = 3 * torch.randn(3, 8, 64, 48) + torch.linspace(-2, 2, 8).view(1, 8, 1, 1)
    assert x.numel() > PART_SIZE * x.shape[1]
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


def norms() -> tuple[BatchNorm2d, nn.BatchNorm2d]:
    """Return our batch norm and torch's in double precision with the same random state."""
    ours = BatchNorm2d(8)
    nn.init.uniform_(ours.weight, 0.5, 1.5)
    nn.init.normal_(ours.bias)
    reference = nn.BatchNorm2d(8).double()
    reference.load_state_dict(ours.state_dict())
    return ours, reference


def test_batch_norm_has_float32_precision_in_values_gradients_and_statistics():
    x, (ours, reference) = large_map(), norms()
    y, wanted = ours(x), reference(x.double())
    assert y.is_contiguous(memory_format=torch.channels_last) and error(y, wanted) < 1e-6
    probe = torch.randn_like(y)
    gradients = torch.autograd.grad(y, (x, *ours.parameters()), probe)
    wanted = torch.autograd.grad(wanted, (x, *reference.parameters()), probe.double())
    assert all(error(a, b.float()) < 2e-5 for a, b in zip(gradients, wanted, strict=True))
    for name, value in reference.named_buffers():
        assert error(ours.get_buffer(name).double(), value.double()) < 1e-6, name


def test_batch_norm_in_evaluation_and_with_batch_statistics_changes_no_buffer():
    x, (ours, reference) = large_map(), norms()
    before = {name: value.clone() for name, value in ours.named_buffers()}
    assert error(ours.eval()(x), reference.eval()(x.double()).float()) < 1e-6
    with batch_statistics(ours), batch_statistics(reference):
        assert error(ours(x), reference(x.double()).float()) < 1e-6
    assert all(torch.equal(value, before[name]) for name, value in ours.named_buffers())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_glu_equals_torch_with_a_gradient_in_the_layout_of_its_input(layout):
    x = torch.randn(2, 6, 4, 5).contiguous(memory_format=layout).requires_grad_()
    probe = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout)
    y, wanted = GLU()(x), F.glu(x, dim=1)
    gradient, reference = (torch.autograd.grad(value, x, probe)[0] for value in (y, wanted))
    assert torch.equal(y, wanted) and torch.allclose(gradient, reference)
    assert gradient.is_contiguous(memory_format=layout)
