"""Each group of a weight is divided by the spectral norm of the group instead of the complete weight."""

import torch
from torch import nn

from slim._spectral import normalise_groups


def test_each_slice_has_norm_one():
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 8, 1, groups=1, bias=False)
    with torch.no_grad():  # each half has rank one, so power iteration is exact after one step
        halves = [scale * torch.outer(torch.randn(4), torch.randn(6)) for scale in (1.0, 30.0)]
        layer.weight.copy_(torch.cat(halves)[:, :, None, None])
    normalise_groups(layer, 2).eval()
    norms = torch.linalg.matrix_norm(layer.weight.detach().reshape(2, 4, 6), ord=2)
    torch.testing.assert_close(norms, torch.ones(2), atol=1e-4, rtol=0)
