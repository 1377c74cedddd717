"""Layers shared by FastGAN's generator and discriminator.

Convolutions are initialised with N(0, 0.02) and have no bias; batch-norm weights are initialised with N(1, 0.02).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ops.spectral_norm import spectral_norm
from baselines.ops.upsampled_conv import upsampled_conv

INIT_STD = 0.02
PART_SIZE = 4096
WIDTH_DIVISOR = {64: 1, 128: 2, 256: 4, 512: 4, 1024: 8}
"""Image size in px -> divisor of base_channels. The quotient is the number of channels of the narrowest feature map in
the generator and the discriminator."""


def conv(
    in_channels: int, out_channels: int, kernel: int, *, spectral: bool, stride: int = 1, pad: bool = True
) -> nn.Conv2d:
    """Build a convolution without bias.

    With `pad`, a 1x1 or 3x3 convolution of stride 1 keeps the map size, and a 4x4 convolution of stride 2 halves it.
    """
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2 if pad else 0, bias=False)
    nn.init.normal_(layer.weight, 0.0, INIT_STD)
    return spectral_norm(layer) if spectral else layer


class UpsampledConv2d(nn.Conv2d):
    """Nearest-neighbour x2 upsampling followed by a 3x3 convolution: [B, C_in, h, w] -> [B, C_out, 2h, 2w]."""

    def forward(self, x: Tensor) -> Tensor:
        return upsampled_conv(x, self.weight)


def up_conv(in_channels: int, out_channels: int, *, spectral: bool) -> UpsampledConv2d:
    """Build a nearest-neighbour x2 upsampling followed by a 3x3 convolution without bias."""
    layer = UpsampledConv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.normal_(layer.weight, 0.0, INIT_STD)
    return spectral_norm(layer) if spectral else layer


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d with more accurate statistics for large channels_last maps on a CPU.

    For such maps torch accumulates all values of a channel sequentially in float32, which loses two digits of the
    statistics at 256 px. Statistics combined from parts of PART_SIZE positions are as accurate as those of
    channels-first maps, at half the cost.
    """

    def forward(self, x: Tensor) -> Tensor:
        exact = not x.is_contiguous(memory_format=torch.channels_last) or x.numel() <= PART_SIZE * x.shape[1]
        if exact or not self.training or x.is_cuda or x.dtype != torch.float32 or torch.compiler.is_compiling():
            return super().forward(x)
        with torch.no_grad():
            mean, variance, count = statistics_by_parts(x)
            if self.track_running_stats:
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return _Normalise.apply(x, self.weight, self.bias, mean, variance, self.eps)


def statistics_by_parts(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean and population variance of each channel of [B, C, h, w], and the number of values per channel."""
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)  # a view
    count = rows.shape[0]
    size = next(size for size in range(min(PART_SIZE, count), 0, -1) if count % size == 0)
    parts = [torch.batch_norm_update_stats(part, None, None, 0.0) for part in rows.split(size)]
    means, variances = (torch.stack(values) for values in zip(*parts, strict=True))
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0), count


class _Normalise(torch.autograd.Function):
    """Batch normalisation with given statistics. The gradient treats the statistics as functions of x."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps))
        ctx.eps = eps
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        gradients = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, scale, True, ctx.eps, list(ctx.needs_input_grad[:3])
        )
        return *gradients, None, None, None


def batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = BatchNorm2d(channels)
    nn.init.normal_(norm.weight, 1.0, INIT_STD)
    return norm


def glu(x: Tensor) -> Tensor:
    """Return a * sigmoid(b), where a and b are the two halves of the channels."""
    plain = x.is_cuda or not x.requires_grad or torch.compiler.is_compiling()
    return F.glu(x, dim=1) if plain else _GLU.apply(x)


class _GLU(torch.autograd.Function):
    """F.glu whose gradient keeps the memory format of x. The gradient of torch's F.glu is always channels first."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.glu(x, dim=1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.glu_backward.grad_input(gradient, x, 1, grad_input=torch.empty_like(x))


class GLU(nn.Module):
    """Gated linear unit over channels: [B, 2 C, h, w] -> [B, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        return glu(x)


def check_size(image_size: int, base_channels: int) -> None:
    """Raise ValueError unless FastGAN supports `image_size` and each feature map has an integer number of channels."""
    if image_size not in WIDTH_DIVISOR:
        raise ValueError(f"image_size must be one of {', '.join(map(str, WIDTH_DIVISOR))}, got {image_size}")
    divisor = WIDTH_DIVISOR[image_size]
    if base_channels < 1 or base_channels % divisor:
        raise ValueError(
            f"base_channels must be a positive multiple of {divisor} at {image_size} px, got {base_channels}"
        )
