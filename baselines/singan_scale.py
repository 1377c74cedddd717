"""SinGAN's generator and critic of one pyramid scale, both without padding (Shaham et al., ICCV 2019).

    G(v, p) = [p +] tanh(tail(gate(h, body(h)))),  h = head(v)

v is the noisy image and p the image of the previous, coarser scale; `p +` is the optional residual. Both inputs have a
border of 5 px (zeros), which the five 3x3 convolutions consume. The gate is the identity in SinGAN without SLIM.

Every BN is implemented as instance normalisation, because SinGAN trains with a batch of one image and always uses the
statistics of that image. Running statistics are not kept, because sampling could change them and because they lag
behind in a short training. An output image does not depend on the rest of its batch, so several images can be computed
in one batch.
"""

from torch import Tensor, nn

LAYERS = 5
PADDING = LAYERS
"""Border in pixels that the unpadded 3x3 convolutions consume on each side."""


def width_at(scale: int, base_channels: int) -> int:
    """Return the number of channels of a pyramid scale. It doubles every four scales, up to max(base_channels, 128)."""
    return min(base_channels * 2 ** (scale // 4), max(base_channels, 128))


class ConvBlock(nn.Sequential):
    """3x3 convolution without padding, per-image BN and LeakyReLU: [B, C, H, W] -> [B, D, H-2, W-2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(in_channels, out_channels, 3))
        self.add_module("norm", nn.InstanceNorm2d(out_channels, affine=True))
        self.add_module("act", nn.LeakyReLU(0.2, inplace=True))


def _body(width: int) -> nn.Sequential:
    body = nn.Sequential()
    for index in range(1, LAYERS - 1):
        body.add_module(f"block{index}", ConvBlock(width, width))
    return body


def initialise(module: nn.Module) -> None:
    """Initialise convolutions with N(0, 0.02), BN weights with N(1, 0.02) and BN biases with 0.

    Other layers and the biases of convolutions keep torch's initialisation.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.InstanceNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def per_image(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d in `module` by an InstanceNorm2d with the same weight, bias and eps."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = nn.InstanceNorm2d(child.num_features, eps=child.eps, affine=True)
            norm.load_state_dict({"weight": child.weight, "bias": child.bias})
            setattr(module, name, norm)
        else:
            per_image(child)
    return module


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """Return the central height x width crop of [..., H, W]."""
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[..., top : top + height, left : left + width]


class ScaleGenerator(nn.Module):
    """Generator of one pyramid scale: (noisy, previous), both [B, 3, H+10, W+10] -> image [B, 3, H, W].

    Without the residual, the values are in [-1, 1]. With the residual, they may exceed that range.
    """

    def __init__(self, width: int, *, residual: bool = True, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.residual = residual
        self.head = ConvBlock(3, width)
        self.body = _body(width)
        self.tail = nn.Sequential(nn.Conv2d(width, 3, 3), nn.Tanh())
        self.apply(initialise)
        self.gate = gate  # set after apply(), because the gate initialises itself

    def forward(self, noisy: Tensor, previous: Tensor) -> Tensor:
        low = self.head(noisy)  # [B, width, H+8, W+8]
        high = self.body(low)  # [B, width, H+2, W+2]
        if self.gate is not None:
            high = self.gate(low, high)
        image = self.tail(high)
        return image + crop(previous, *image.shape[-2:]) if self.residual else image


class ScaleCritic(nn.Module):
    """Patch critic [B, 3, H, W] -> [B, 1, H-10, W-10], with one value per 11x11 patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = ConvBlock(3, width)
        self.body = _body(width)
        self.tail = nn.Conv2d(width, 1, 3)
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        return self.tail(self.body(self.head(image)))
