"""Spectral normalisation, which divides a weight by its largest singular value (Miyato et al. 2018).

The module follows torch.nn.utils.parametrizations.spectral_norm (one power iteration per training forward) with three
changes: a hand-written gradient, one matrix-vector product fewer (after v = W'u / |W'u|, u'Wv equals |W'u|), and
float32 arithmetic under autocast.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

EPSILON = 1e-12


class _DivideByNorm(torch.autograd.Function):
    """Quotient W / s, where u and v are constant and s = u'Wv.

    The gradient is dL/dW = (D - <D, W/s> u v') / s, where D is the gradient of the quotient.
    """

    @staticmethod
    def forward(ctx, matrix: Tensor, u: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
        quotient = matrix / sigma
        ctx.save_for_backward(quotient, u, v, sigma)
        return quotient

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        quotient, u, v, sigma = ctx.saved_tensors
        inner = torch.dot(gradient.flatten(), quotient.flatten())
        return torch.addr(gradient, u, v * -inner).div_(sigma), None, None, None


class SpectralNorm(nn.Module):
    """Parametrisation that divides a weight by its largest singular value.

    The weight is viewed as a matrix [n, fan_in] with axis `dim` first. Its singular vectors are u [n] and v [fan_in].
    """

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__()
        self.dim = dim
        matrix = self._matrix(weight.detach())
        u = F.normalize(torch.randn_like(matrix[:, 0]), dim=0, eps=EPSILON)
        for _ in range(15):  # 15 iterations as in torch, so that the first estimate is already close
            v, _ = _right_vector(matrix, u)
            u = F.normalize(torch.mv(matrix, v), dim=0, eps=EPSILON)
        self.register_buffer("u", u)
        self.register_buffer("v", v)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.transpose(0, self.dim).flatten(1)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # in half precision, sigma has an error of 0.4 %
            matrix = self._matrix(weight)
            quotient = _DivideByNorm.apply(matrix, *self._singular_vectors(matrix.detach()))
            return quotient.unflatten(1, weight.transpose(0, self.dim).shape[1:]).transpose(0, self.dim)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight

    @torch.no_grad()
    def _singular_vectors(self, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.training:
            return self.u, self.v, torch.dot(self.u, torch.mv(matrix, self.v))
        u = F.normalize(torch.mv(matrix, self.v), dim=0, eps=EPSILON)
        v, sigma = _right_vector(matrix, u)
        self.u.copy_(u)
        self.v.copy_(v)
        return _copy_for_backward(u, v, sigma) if torch.compiler.is_compiling() else (u, v, sigma)


@torch.library.custom_op("baselines::opaque_copy", mutates_args=())
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
    u, v, sigma = _opaque_copy(torch.cat([u, v, sigma[None]])).split([u.shape[0], v.shape[0], 1])
    return u, v, sigma[0]


def _right_vector(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return v = W'u / |W'u| and sigma = |W'u|."""
    product = torch.mv(matrix.t(), u)
    sigma = torch.linalg.vector_norm(product)
    return product / sigma.clamp_min(EPSILON), sigma


def spectral_norm(layer: nn.Module, dim: int = 0) -> nn.Module:
    """Apply spectral normalisation to `layer.weight` and return the layer.

    Initialise the weight first. Afterwards `layer.weight` is a computed tensor, so in-place changes to it are lost.
    """
    return parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, dim))
