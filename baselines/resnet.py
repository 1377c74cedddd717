"""ResNet, ResNeXt and SE-ResNet, built from one bottleneck whose 3x3 convolution can be replaced.

A bottleneck of planes p and 3x3 width w computes y = relu(shortcut(x) + SE(1x1_{w->4p}(3x3_w(1x1_{->w}(x))))), with BN
after each conv, ReLU after the first two, and SE only in SE-ResNets. The stride is in the 3x3 layer, as in torchvision
(ResNet v1.5), and the shortcut is a 1x1 conv if the shape changes. Parameter names equal torchvision's, so
torchvision's weights can be loaded. Torchvision's class is not used because its 3x3 convolution cannot be replaced, and
it has no width option and no small stem.

Sources: He et al. 2016 (ResNet), Xie et al. 2017 (ResNeXt), Hu et al. 2018 (SE), Goyal et al. 2017 (zero-init of the
last gamma).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from baselines.options import Positive

ConvBuilder = Callable[[int, int], nn.Module]
"""Builder of 3x3 layers: (channels, stride) -> module from [B, C, H, W] to [B, C, ceil(H/stride), ceil(W/stride)]."""
Stem = Literal["imagenet", "small"]
"""imagenet: 7x7 conv of stride 2 and 3x3 max-pool of stride 2; small: 3x3 conv, first stage at full resolution."""
EXPANSION = 4
DEPTH_50, DEPTH_101 = (3, 4, 6, 3), (3, 4, 23, 3)


@dataclass(frozen=True)
class Layout:
    """Sizes of a network. Stage i has blocks[i] bottlenecks, width * 2^i planes and a 3x3 width of conv_width * 2^i."""

    blocks: tuple[int, ...]
    width: int
    conv_width: int
    stem: Stem
    in_channels: int
    num_classes: int
    squeeze: int | None = None
    zero_init_residual: bool = False

    def __post_init__(self) -> None:
        sizes = {"width": self.width, "in_channels": self.in_channels, "num_classes": self.num_classes}
        if not self.blocks or min(*self.blocks, 1) < 1 or min(sizes.values()) < 1:
            raise ValueError(f"blocks, width, in_channels, num_classes must be positive, got {self.blocks} and {sizes}")
        if self.stem not in get_args(Stem):
            raise ValueError(f"stem must be one of {get_args(Stem)}, got {self.stem!r}")
        if self.squeeze is not None and not 1 <= self.squeeze <= self.width * EXPANSION:
            raise ValueError(f"squeeze must be in 1..{self.width * EXPANSION} (width * 4), got {self.squeeze}")


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation, x * sigmoid(fc2(relu(fc1(mean of x over positions)))).

    It is implemented here so that networks do not import torchvision.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(torch.relu_(self.fc1(x.mean((2, 3), keepdim=True)))))


class Bottleneck(nn.Module):
    """Residual block [B, C, H, W] -> [B, 4 * planes, ceil(H/stride), ceil(W/stride)]."""

    def __init__(self, in_channels: int, planes: int, conv2: nn.Module, *, conv_width: int, stride: int) -> None:
        super().__init__()
        out_channels = planes * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, conv_width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(conv_width)
        self.conv2 = conv2
        self.bn2 = nn.BatchNorm2d(conv_width)
        self.conv3 = nn.Conv2d(conv_width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.se: nn.Module = nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.bn1(self.conv1(x)))
        y = torch.relu_(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        return torch.relu_(y.add_(self.downsample(x)))


class ResNet(nn.Module):
    """Classifier: images [B, in_channels, H, W] -> logits [B, num_classes]. `build_conv` builds the 3x3 layers."""

    def __init__(self, layout: Layout, build_conv: ConvBuilder) -> None:
        super().__init__()
        self.layout = layout
        imagenet = layout.stem == "imagenet"
        kernel, stride = (7, 2) if imagenet else (3, 1)
        self.conv1 = nn.Conv2d(layout.in_channels, layout.width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(layout.width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        channels, stages = layout.width, []
        for stage in range(len(layout.blocks)):
            stages.append(self._stage(stage, channels, build_conv))
            channels = layout.width * 2**stage * EXPANSION
        for number, stage in enumerate(stages, 1):
            self.add_module(f"layer{number}", stage)  # torchvision's names
        self.fc = nn.Linear(channels, layout.num_classes)
        _initialise(self, layout.zero_init_residual)

    def _stage(self, stage: int, in_channels: int, build_conv: ConvBuilder) -> nn.Sequential:
        planes, conv_width = self.layout.width * 2**stage, self.layout.conv_width * 2**stage
        blocks = []
        for index in range(self.layout.blocks[stage]):
            stride = 2 if stage and not index else 1
            conv = build_conv(conv_width, stride)
            block = Bottleneck(in_channels, planes, conv, conv_width=conv_width, stride=stride)
            in_channels = planes * EXPANSION
            if self.layout.squeeze:
                block.se = SqueezeExcitation(in_channels, in_channels // self.layout.squeeze)
            blocks.append(block)
        return nn.Sequential(*blocks)

    def features(self, x: Tensor) -> Tensor:
        """Return the last feature map [B, C, h, w] of images [B, in_channels, H, W]."""
        x = self.maxpool(torch.relu_(self.bn1(self.conv1(x))))
        for stage in range(1, len(self.layout.blocks) + 1):
            x = getattr(self, f"layer{stage}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def _initialise(network: ResNet, zero_init_residual: bool) -> None:
    """Initialise convolutions with Kaiming normal (fan-out, ReLU).

    Convolutions inside a module that replaces a 3x3 convolution are left out, because that module initialises them.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and (".conv2." not in name):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if zero_init_residual:
        for module in network.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)


def conv3x3(groups: int) -> ConvBuilder:
    """Return a builder of grouped 3x3 convolutions without bias, for ResNet (groups=1) and ResNeXt."""

    def build(channels: int, stride: int) -> nn.Module:
        if channels % groups:
            raise ValueError(f"groups must divide the 3x3 width, got {channels} channels and {groups} groups")
        return nn.Conv2d(channels, channels, 3, stride, 1, groups=groups, bias=False)

    return build


def resnet(
    *,
    blocks: tuple[Positive, ...] = (1, 1, 1, 1),
    width: Positive = 16,
    groups: Positive = 1,
    group_width: Positive | None = None,
    squeeze: Positive | None = None,
    stem: Stem = "small",
    in_channels: Positive = 3,
    num_classes: Positive = 10,
    zero_init_residual: bool = False,
) -> ResNet:
    """Build a network of any size.

    `group_width` is the number of channels per group in the 3x3 layers of the first stage. With None, the 3x3 width
    equals the number of planes.
    """
    conv_width = groups * group_width if group_width else width
    layout = Layout(tuple(blocks), width, conv_width, stem, in_channels, num_classes, squeeze, zero_init_residual)
    return ResNet(layout, conv3x3(groups))


def _imagenet(blocks: tuple[int, ...], groups: int, group_width: int, squeeze: int | None) -> Callable[..., ResNet]:
    def build(
        *,
        num_classes: Positive = 1000,
        in_channels: Positive = 3,
        stem: Stem = "imagenet",
        zero_init_residual: bool = False,
    ) -> ResNet:
        conv_width = groups * group_width
        layout = Layout(blocks, 64, conv_width, stem, in_channels, num_classes, squeeze, zero_init_residual)
        return ResNet(layout, conv3x3(groups))

    return build


resnet50 = _imagenet(DEPTH_50, 1, 64, None)
resnet101 = _imagenet(DEPTH_101, 1, 64, None)
resnext50_32x4d = _imagenet(DEPTH_50, 32, 4, None)
resnext101_32x4d = _imagenet(DEPTH_101, 32, 4, None)
se_resnet50 = _imagenet(DEPTH_50, 1, 64, 16)
