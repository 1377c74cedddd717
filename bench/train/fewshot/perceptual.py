"""Perceptual loss of the discriminator's decoders: LPIPS with VGG16, or a distance of EfficientNet-Lite0 features.

Both losses sum d(x, y) over the batch, where d is the sum over layers of the mean over positions of
sum_c w_c (f(x) - f(y))_c^2 and f has unit length over channels. In LPIPS, w is learned. The recipe value "efflite0"
selects the second loss, which needs no download. This loss uses the outputs of blocks 0, 2, 4 and 10 of
EfficientNet-Lite0 (strides 2, 4, 8, 16; 16, 24, 40 and 112 channels; batch norms folded) for images at their original
size, scaled to the network's input range by (127.5 x + 0.5) / 128 for x in -1..1. With w = 1/4, which averages over
the four layers, the distances are about as large as LPIPS distances, and the balance with the hinge loss is about the
same as with LPIPS.
"""

import functools
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EFFLITE_BLOCKS = (0, 2, 4, 10)
EFFLITE_STRIDE = 16
EPSILON = 1e-10
CACHE_ELEMENTS = 2**16
"""Number of feature values that a CPU compares in one step, so that intermediate results fit in its cache."""
Group = tuple[Sequence[Tensor], Tensor]
"""Reconstructions and their common target, all [B, 3, H, W]."""


class Trunk(Protocol):
    """Frozen network whose feature maps are compared."""

    name: str

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the maps [B, C, h, w] of images [B, 3, H, W] in -1..1."""

    def weight(self, layer: int) -> Tensor | float:
        """Return the channel weights [1, C, 1, 1] of a layer, or one weight for all channels."""


class PerceptualLoss:
    """Perceptual loss: the sum of d over all reconstructions. The reconstructions of a group have the same target."""

    def __init__(self, trunk: Trunk):
        self.trunk, self.name = trunk, trunk.name

    def __call__(self, groups: Sequence[Group], micro_batch: int | None = None) -> Tensor:
        """Return the loss. Each group is (reconstructions, target), all [B, 3, H, W].

        The features of each target are computed once. With a `micro_batch`, the frozen network processes that many of
        the B images in one pass, and their feature maps are freed before the next pass. The network's batch norms are
        folded, so only rounding depends on the micro-batch.
        """
        count = len(groups[0][1])
        if micro_batch is None or micro_batch >= count:
            return self._loss(groups)
        images = [image for reconstructions, _ in groups for image in reconstructions]
        values, gradients = [], []
        for first in range(0, count, micro_batch):
            value, *gradient = self._value_and_gradients(_rows(groups, slice(first, first + micro_batch)))
            values.append(value)
            gradients.append(gradient)
        combined = [torch.cat(parts) for parts in zip(*gradients, strict=True)]
        return _WithGradients.apply(torch.stack(values).sum(), len(images), *images, *combined)

    def _value_and_gradients(self, groups: Sequence[Group]) -> list[Tensor]:
        """Return the loss and its gradient for each reconstruction, without keeping the feature maps."""
        with torch.enable_grad():
            groups = [([image.detach().requires_grad_() for image in images], target) for images, target in groups]
            loss = self._loss(groups)
        leaves = [image for images, _ in groups for image in images]
        with torch.autocast(loss.device.type, enabled=False):
            return [loss.detach(), *torch.autograd.grad(loss, leaves)]

    def _loss(self, groups: Sequence[Group]) -> Tensor:
        with torch.no_grad():
            targets = self.trunk(torch.cat([target for _, target in groups]))
        count = len(groups[0][1])
        rows = _target_rows(tuple(len(images) for images, _ in groups), count, targets[0].device)
        maps = self.trunk(torch.cat([image for images, _ in groups for image in images]))
        parts = [
            _Distance.apply(reconstructed, target, rows, self.trunk.weight(layer))
            for layer, (reconstructed, target) in enumerate(zip(maps, targets, strict=True))
        ]
        return torch.stack(parts).sum()


def _rows(groups: Sequence[Group], rows: slice) -> list[Group]:
    return [([image[rows] for image in images], target[rows]) for images, target in groups]


class _WithGradients(torch.autograd.Function):
    """Value with given gradients for `count` images: (value, count, *images, *gradients) -> value."""

    @staticmethod
    def forward(ctx, value: Tensor, count: int, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors[count:])
        return value.clone()

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [gradient * outer for gradient in ctx.saved_tensors]
        return None, None, *gradients, *(None for _ in gradients)


@functools.lru_cache
def _target_rows(reconstructions: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """Return the row of the target of each reconstructed image, int64 [sum(reconstructions) * count], on `device`."""
    rows = [group * count + i for group, n in enumerate(reconstructions) for _ in range(n) for i in range(count)]
    return torch.tensor(rows, device=device)


class _Distance(torch.autograd.Function):
    """Sum over i and c of w_c (f(x_i)_c - f(y_rows[i])_c)^2, averaged over positions. f has unit length over channels.

    x [N, C, h, w], y [M, C, h, w] -> scalar. The gradient for x is computed together with the value, while the maps are
    in the cache. Separate eager operations would write and read eight arrays of the size of x for each layer.
    """

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, rows: Tensor, weight: Tensor | float) -> Tensor:
        gradient = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        step = len(x) if x.is_cuda else max(1, CACHE_ELEMENTS // x[0].numel())
        total = x.new_zeros((), dtype=torch.float32)
        area = x.shape[2] * x.shape[3]
        for part in range(0, len(x), step):
            reconstructed, scale = _unit_length(x[part : part + step].float())
            target, _ = _unit_length(y[rows[part : part + step]].float())
            difference = reconstructed - target
            weighted = difference * weight
            total += (weighted * difference).sum() / area
            if gradient is not None:  # derivative of u = x / |x|: (g - u <u, g>) / |x| with g = 2 weighted
                along = (reconstructed * weighted).sum(dim=1, keepdim=True)
                projected = torch.addcmul(weighted, reconstructed, along, value=-1)
                gradient[part : part + step] = projected.mul_(scale * (2 / area))
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple[Tensor | None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (None if gradient is None else gradient * outer), None, None, None


def _unit_length(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps scaled to unit length over channels, and the factor. EPSILON keeps the factor finite for zeros."""
    scale = torch.rsqrt(maps.square().sum(dim=1, keepdim=True) + EPSILON)
    return maps * scale, scale


class EffliteTrunk(nn.Module):
    """EfficientNet-Lite0 up to block 10. Later feature maps of a 64-px image have only 2x2 positions."""

    name = f"efflite0-blocks{'-'.join(map(str, EFFLITE_BLOCKS))}-mean"

    def __init__(self) -> None:
        from bench.metrics.efflite import fold_batch_norms, load_efflite0

        super().__init__()
        network = fold_batch_norms(load_efflite0())
        self.stem = nn.Sequential(pad_evenly(network._conv_stem), nn.ReLU6(inplace=True))
        self.blocks = nn.ModuleList(network._blocks[: EFFLITE_BLOCKS[-1] + 1])
        for block in self.blocks:
            block._depthwise_conv = pad_evenly(block._depthwise_conv)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        if images.shape[2] % EFFLITE_STRIDE or images.shape[3] % EFFLITE_STRIDE:
            raise ValueError(f"sides must be multiples of {EFFLITE_STRIDE}, got {list(images.shape)}")
        x, maps = self.stem((images * 127.5 + 0.5) / 128.0), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in EFFLITE_BLOCKS:
                maps.append(x)
        return maps

    def weight(self, layer: int) -> float:
        return 1 / len(EFFLITE_BLOCKS)


def pad_evenly(conv: nn.Conv2d) -> nn.Conv2d:
    """Return an equivalent of a convolution with "same" padding that needs no padded copy of its input.

    The stride must divide the input's sides. At stride 2, "same" padding is one pixel wider at the end than at the
    start. A kernel with an additional first row and column of zeros and equal padding on both sides computes the same
    values.
    """
    size, stride = conv.kernel_size[0], conv.stride[0]
    weight = F.pad(conv.weight.detach(), (1, 0, 1, 0)) if stride == 2 else conv.weight.detach()
    even = nn.Conv2d(conv.in_channels, conv.out_channels, weight.shape[2:], stride, (size - 1) // 2, groups=conv.groups)
    even.weight, even.bias = nn.Parameter(weight), nn.Parameter(conv.bias.detach())
    return even


class LpipsTrunk(nn.Module):
    """The five VGG16 maps and heads of LPIPS v0.1, taken from the module that the metrics use."""

    name = "lpips-vgg16"

    def __init__(self, lpips: nn.Module) -> None:
        super().__init__()
        self.lpips = lpips.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = (images - self.lpips.shift) / self.lpips.scale, []
        for layers in self.lpips.slices:
            for layer in layers:
                x = F.relu(x, inplace=True) if isinstance(layer, nn.ReLU) else layer(x)
            maps.append(x)
        return maps

    def weight(self, layer: int) -> Tensor:
        return getattr(self.lpips, f"weight{layer}")


def perceptual_loss(name: str, device: torch.device) -> PerceptualLoss:
    """Return the perceptual loss `name`. If the LPIPS weights are missing, InputError explains how to install them."""
    if name == "lpips-vgg16":
        from bench.metrics.lpips import load_lpips

        trunk: nn.Module = LpipsTrunk(load_lpips())
    else:
        trunk = EffliteTrunk()
    return PerceptualLoss(trunk.to(device, memory_format=torch.channels_last))
