"""SinGAN's networks of one scale: a small unpadded generator and critic (Shaham et al., ICCV 2019).

    G(v, p) = [p +] tanh(tail(gate(h, body(h)))),  h = head(v)

Inputs carry a border of 5 px (zeros), which the five 3x3 convolutions use up. `p +` is the residual; the gate slot is
where SLIM goes.

Every BN normalises with the statistics of the image at hand, as in training, where a batch is one image: it is written
as instance normalisation. So there are no running statistics that sampling could change or that lag behind short
training, an image does not depend on what is computed beside it, and several images go through a network at once.
"""

from torch import Tensor, nn

LAYERS = 5
PADDING = LAYERS
"""pixels of border that the unpadded 3x3 convolutions use up on each side"""


def width_at(scale: int, base_channels: int) -> int:
    """Channels of a scale: doubled every four scales, up to 128."""
    return min(base_channels * 2 ** (scale // 4), max(base_channels, 128))


class ConvBlock(nn.Sequential):
    """3x3 convolution without padding, BN per image, LeakyReLU: [B, C, H, W] -> [B, D, H-2, W-2]."""

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
    """Convolutions N(0, 0.02), BN weights N(1, 0.02) and bias 0; other layers and biases keep the framework's."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.InstanceNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def per_image(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d below `module` by the same with the statistics of each image."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = nn.InstanceNorm2d(child.num_features, eps=child.eps, affine=True)
            norm.load_state_dict({"weight": child.weight, "bias": child.bias})
            setattr(module, name, norm)
        else:
            per_image(child)
    return module


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """The centre of [..., H, W]."""
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[..., top : top + height, left : left + width]


class ScaleGenerator(nn.Module):
    """(noisy, previous) both [B, 3, H+10, W+10] -> [B, 3, H, W] in about [-1, 1] (with the residual it may exceed)."""

    def __init__(self, width: int, *, residual: bool = True, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.residual = residual
        self.head = ConvBlock(3, width)
        self.body = _body(width)
        self.tail = nn.Sequential(nn.Conv2d(width, 3, 3), nn.Tanh())
        self.apply(initialise)
        self.gate = gate  # brings its own initialisation

    def forward(self, noisy: Tensor, previous: Tensor) -> Tensor:
        low = self.head(noisy)  # [B, width, H+8, W+8]
        high = self.body(low)  # [B, width, H+2, W+2]
        if self.gate is not None:
            high = self.gate(low, high)
        image = self.tail(high)
        return image + crop(previous, *image.shape[-2:]) if self.residual else image


class ScaleCritic(nn.Module):
    """[B, 3, H, W] -> [B, 1, H-10, W-10]: one value per 11x11 patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = ConvBlock(3, width)
        self.body = _body(width)
        self.tail = nn.Conv2d(width, 1, 3)
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        return self.tail(self.body(self.head(image)))
