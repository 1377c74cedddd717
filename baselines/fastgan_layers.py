"""What FastGAN's generator and discriminator share: convs N(0, 0.02) without bias, BN N(1, 0.02), the sizes."""

from torch import Tensor, nn

from baselines.spectral import spectral_norm
from baselines.upconv import upsampled_conv

INIT_STD = 0.02
WIDTH_DIVISOR = {64: 1, 128: 2, 256: 4, 512: 4, 1024: 8}
"""base_channels over the narrowest map, generator and discriminator together, per image size."""


def conv(
    in_channels: int, out_channels: int, kernel: int, *, spectral: bool, stride: int = 1, pad: bool = True
) -> nn.Conv2d:
    """Convolution without bias; `pad` keeps the size at stride 1 (1x1, 3x3) and halves it at stride 2 (4x4)."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2 if pad else 0, bias=False)
    nn.init.normal_(layer.weight, 0.0, INIT_STD)
    return spectral_norm(layer) if spectral else layer


class UpsampledConv2d(nn.Conv2d):
    """Nearest x2, then a 3x3 convolution: [B, C_in, h, w] -> [B, C_out, 2h, 2w]."""

    def forward(self, x: Tensor) -> Tensor:
        return upsampled_conv(x, self.weight)


def up_conv(in_channels: int, out_channels: int, *, spectral: bool) -> UpsampledConv2d:
    """Nearest x2 and a 3x3 convolution without bias."""
    layer = UpsampledConv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.normal_(layer.weight, 0.0, INIT_STD)
    return spectral_norm(layer) if spectral else layer


def batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight, 1.0, INIT_STD)
    return norm


def check_size(image_size: int, base_channels: int) -> None:
    """The networks exist from 64 to 1024 pixels, with a whole number of channels at each map."""
    if image_size not in WIDTH_DIVISOR:
        raise ValueError(f"image_size must be one of {', '.join(map(str, WIDTH_DIVISOR))}, got {image_size}")
    divisor = WIDTH_DIVISOR[image_size]
    if base_channels < 1 or base_channels % divisor:
        raise ValueError(
            f"base_channels must be a positive multiple of {divisor} at {image_size} px, got {base_channels}"
        )
