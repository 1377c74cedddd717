"""Spectral normalisation of several weights in one tensor. Each weight is divided by its own largest singular value.

A weight [K n, ...] contains K independent layers of n outputs each. Slice k, read as a matrix W_k [n, fan_in], becomes
W_k / s_k with s_k = u_k' W_k v_k. One power iteration per forward pass in training keeps u_k and v_k close to the
leading singular vectors (Miyato et al. 2018, the scheme of torch.nn.utils.parametrizations.spectral_norm). A single
norm over the whole tensor would define a different network.

Four layers with torch's spectral_norm took 2.2 times as long as one grouped layer (weights of 32 x 128, forward and
backward, one AVX-512 core, median CPU time of 15 repetitions).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

EPSILON = 1e-12


class _DivideByNorm(torch.autograd.Function):
    """W -> W / s with constant u and v. dL/dW = (D - <D, W/s> u v') / s, where D is the gradient of the quotient."""

    @staticmethod
    def forward(ctx, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
        quotient = weight / sigma[:, None, None]
        ctx.save_for_backward(quotient, u, v, sigma)
        return quotient

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        quotient, u, v, sigma = ctx.saved_tensors
        inner = (gradient * quotient).sum((1, 2))[:, None]
        projected = torch.addcmul(gradient, (u * inner)[:, :, None], v[:, None, :], value=-1)
        return projected.div_(sigma[:, None, None]), None, None, None


class GroupedSpectralNorm(nn.Module):
    """Parametrisation that divides slice k of a weight [K n, ...] by its spectral norm. u: [K, n], v: [K, fan_in]."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, groups: int) -> None:
        super().__init__()
        self.groups = groups
        matrix = self._matrices(weight.detach())
        u = F.normalize(torch.randn_like(matrix[:, :, 0]), dim=1, eps=EPSILON)
        for _ in range(15):  # 15 iterations as in torch, so that the first estimate is already close
            u, v, _ = _power_iteration(matrix, u)
        self.register_buffer("u", u)
        self.register_buffer("v", v)

    def _matrices(self, weight: Tensor) -> Tensor:
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # in half precision the norm has an error of 0.4 %
            matrix = self._matrices(weight)
            return _DivideByNorm.apply(matrix, *self._singular_vectors(matrix.detach())).reshape(weight.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight

    @torch.no_grad()
    def _singular_vectors(self, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.training:
            return self.u, self.v, (self.u * _apply(matrix, self.v)).sum(1)
        u = F.normalize(_apply(matrix, self.v), dim=1, eps=EPSILON)
        v, sigma = _right_vector(matrix, u)
        self.u.copy_(u)
        self.v.copy_(v)
        return _copy_for_backward(u, v, sigma) if torch.compiler.is_compiling() else (u, v, sigma)


@torch.library.custom_op("slim::opaque_copy", mutates_args=())
def _opaque_copy(values: Tensor) -> Tensor:
    """Copy the values in an operator that is opaque to the compiler, which therefore saves the result for backward."""
    return values.clone()


@_opaque_copy.register_fake
def _(values: Tensor) -> Tensor:
    return torch.empty_like(values)


def _copy_for_backward(u: Tensor, v: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Copy u, v and sigma for the backward pass.

    Otherwise the compiled backward pass would recompute these values from the buffers, which by then contain the
    vectors of the next step.
    """
    u, v, sigma = _opaque_copy(torch.cat([u, v, sigma[:, None]], dim=1)).split([u.shape[1], v.shape[1], 1], dim=1)
    return u, v, sigma[:, 0]


def _apply(matrix: Tensor, v: Tensor) -> Tensor:
    """Return W v of each slice, computed as the sum of an elementwise product. torch.bmm has too much overhead here.

    For four matrices of 32 x 128, torch.bmm took 3.0 times as long on one AVX-512 core.
    """
    return (matrix * v[:, None, :]).sum(2)


def _right_vector(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return v = W'u / |W'u| and sigma = u'Wv. Since u'Wv equals |W'u|, no third product is needed."""
    product = (matrix * u[:, :, None]).sum(1)
    sigma = torch.linalg.vector_norm(product, dim=1)
    return product / sigma.clamp_min(EPSILON)[:, None], sigma


def _power_iteration(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    v, sigma = _right_vector(matrix, u)
    return F.normalize(_apply(matrix, v), dim=1, eps=EPSILON), v, sigma


def normalise_groups(layer: nn.Module, groups: int) -> nn.Module:
    """Apply a spectral norm per group to `layer.weight`.

    The weight must be initialised before this call, because later in-place changes are lost.
    """
    return parametrize.register_parametrization(
        layer, "weight", GroupedSpectralNorm(layer.get_parameter("weight"), groups)
    )
