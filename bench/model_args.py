"""Arguments of every registered network, so that the plan refuses a wrong one without importing torch.

A test holds that names, kinds and defaults equal the constructors'.
"""

from typing import Any, Literal

from bench.schema import Positive, PositiveFloat, Strict

ImageSize = Literal[64, 128, 256, 512, 1024]
GateName = Literal["sle", "sle-residual", "none"]
Stem = Literal["imagenet", "small"]


class Arguments(Strict):
    def given(self) -> dict[str, Any]:
        """Only what was set: the rest is the constructor's own default."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class FastganArguments(Arguments):
    image_size: ImageSize = 256
    base_channels: Positive = 64
    latent_dim: Positive = 256
    tanh: bool | None = None
    spectral_norm: bool = True


class FastganSle(FastganArguments):
    gate: GateName = "sle"


class SkipLayer(Arguments):
    """What every skip-layer SLIM can vary."""

    groups: Positive = 4
    dilation: Positive | None = None
    normalise: bool = True
    style: bool = True
    mask: bool = True
    shared: bool = False
    allow_constant: bool = False


class FastganSlim(FastganArguments, SkipLayer):
    pairs: tuple[Literal[64, 128, 256, 512], ...] | None = None
    reduction: Positive = 16
    residual: bool = True
    mask_noise: bool | None = None


class FastganDiscriminator(Arguments):
    image_size: ImageSize = 256
    base_channels: Positive = 64
    decoder_scaled: bool = False
    spectral_norm: bool = True


class Singan(Arguments):
    """The one-shot engine fills in the image's size and the recipe's pyramid."""

    height: Positive = 250
    width: Positive = 250
    min_size: Positive = 25
    max_size: Positive = 250
    scale_factor: PositiveFloat = 0.75
    base_channels: Positive = 32
    residual: bool = True


class SinganSlim(Singan, SkipLayer):
    residual: bool = False
    reduction: Positive = 1


class ResnetArguments(Arguments):
    stem: Stem = "small"
    in_channels: Positive = 3
    num_classes: Positive = 10
    zero_init_residual: bool = False


class Resnet(ResnetArguments):
    blocks: tuple[Positive, ...] = (1, 1, 1, 1)
    width: Positive = 16
    groups: Positive = 1
    group_width: Positive | None = None
    squeeze: Positive | None = None


class SameLayer(Arguments):
    """What every same-layer SLIM can vary."""

    slim_groups: Positive = 4
    ratio: Positive = 4
    variant: Literal["softmax", "literal"] = "softmax"


class SlimResnet(ResnetArguments, SameLayer):
    blocks: tuple[Positive, ...] = (1, 1, 1, 1)
    width: Positive = 16


class ImagenetResnet(ResnetArguments):
    stem: Stem = "imagenet"
    num_classes: Positive = 1000


class ImagenetSlimResnet(ImagenetResnet, SameLayer):
    pass


ARGUMENTS: dict[str, type[Arguments]] = {
    "fastgan-sle": FastganSle,
    "fastgan-slim": FastganSlim,
    "fastgan-discriminator": FastganDiscriminator,
    "singan": Singan,
    "singan-slim": SinganSlim,
    "resnet": Resnet,
    "resnext": Resnet,
    "slim-resnet": SlimResnet,
    "resnet50": ImagenetResnet,
    "resnet101": ImagenetResnet,
    "resnext50-32x4d": ImagenetResnet,
    "resnext101-32x4d": ImagenetResnet,
    "se-resnet50": ImagenetResnet,
    "slim-resnet50": ImagenetSlimResnet,
    "slim-resnet101": ImagenetSlimResnet,
}
