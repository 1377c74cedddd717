"""Number of parameters and multiply-accumulates of a network, counted in the same way for all networks.

The counter counts executed operations: convolutions (plain, grouped, transposed), matrix products, and all elementwise
products of two tensors (the gates of SLE, SE and SLIM). As in torchvision's published totals, normalisation,
activations, pooling, interpolation and additions are not counted. ResNet-50 and ResNeXt-50 32x4d at 224 px have 4.09
and 4.23 G multiply-accumulates. SinGAN's resizing between pyramid scales counts as two matrix products per image, which
is 0.3 % of the total at 186x250 px, with and without SLIM.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_accumulates(call: Callable[[], Any]) -> int:
    """Return the number of multiply-accumulates of a call, such as `lambda: model(torch.zeros(1, 3, 224, 224))`."""
    with torch.no_grad(), _Counter() as counter:
        call()
    return counter.total


def _convolution(arguments: tuple, out: Tensor) -> int:
    x, weight, transposed = arguments[0], arguments[1], arguments[6]
    return (x if transposed else out).numel() * weight[0].numel()  # weight[0] has the weights applied at each position


def _matrix_product(arguments: tuple, out: Tensor) -> int:
    return out.numel() * arguments[-1].shape[-2]


def _product(arguments: tuple, out: Tensor) -> int:
    """Return the count of an elementwise product of two tensors. A product with a scalar is not counted."""
    tensors = all(isinstance(factor, Tensor) and factor.ndim for factor in arguments[:2])
    return out.numel() if tensors else 0


ATEN = torch.ops.aten
COUNTS: dict[Any, Callable[[tuple, Tensor], int]] = {
    ATEN.convolution: _convolution,
    ATEN.mm: _matrix_product,
    ATEN.bmm: _matrix_product,
    ATEN.addmm: _matrix_product,
    ATEN.baddbmm: _matrix_product,
    ATEN.mul: _product,
    ATEN.mul_: _product,
}


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler (2.5 s), and nothing is compiled in this mode

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        count = COUNTS.get(func.overloadpacket)
        if count is None:  # inference_mode does not decompose conv2d, linear, matmul and einsum
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if count is not None:
            self.total += count(args, out)
        return out
