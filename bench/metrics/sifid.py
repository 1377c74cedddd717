"""Computes the single-image FID (SinGAN): the Fréchet distance between the feature vectors of two images.

Each position of a feature map has one feature vector. The network is torchvision's ImageNet Inception v3, and images
are scaled to -1..1 at their original size. Features of two layers are in common use: the 64 channels after the first
max pooling (code of the paper's authors), and the 192 channels before the second max pooling (text of the SinGAN
paper). Both variants are computed.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import InputError
from bench.files import sha256_file
from bench.metrics.checks import check_uint8
from bench.metrics.features import exact_float32
from bench.metrics.frechet import frechet_distance
from bench.runtime.images import to_signed

MIN_SIDE = 23  # px, the smallest size at which the second layer has 2x2 positions


class InceptionStem:
    """First layers of torchvision's Inception: uint8 [1, 3, H, W] -> [positions, channels] at both layers."""

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        """Load inception_v3_google-0cc3c7bd.pth from `path`. The caller must have verified the checksum."""
        from torchvision.models.inception import BasicConv2d

        self.device = torch.device(device)
        first = [BasicConv2d(3, 32, kernel_size=3, stride=2), BasicConv2d(32, 32, kernel_size=3)]
        first += [BasicConv2d(32, 64, kernel_size=3, padding=1), nn.MaxPool2d(3, stride=2)]
        second = [BasicConv2d(64, 80, kernel_size=1), BasicConv2d(80, 192, kernel_size=3)]
        self.first, self.second = nn.Sequential(*first), nn.Sequential(*second)
        self._load(torch.load(path, map_location="cpu", weights_only=True))
        self.weights_sha256 = sha256_file(path)

    def _load(self, state: dict[str, Tensor]) -> None:
        names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
        layers = [*self.first[:3], *self.second]
        for layer, name in zip(layers, names, strict=True):
            prefix = f"{name}."
            layer.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        for part in (self.first, self.second):
            part.to(self.device).eval().requires_grad_(False)

    def __call__(self, image: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the features [positions, 64] and [positions, 192] of one image."""
        check_uint8(image, "image")
        if len(image) != 1:
            raise InputError(f"SIFID compares single images, got a batch of {len(image)}")
        height, width = image.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise InputError(f"SIFID needs at least {MIN_SIDE} px, got {height}x{width}")
        with torch.inference_mode(), exact_float32():
            x = self.first(to_signed(image.to(self.device)))
            return _positions(x), _positions(self.second(x))


def _positions(maps: Tensor) -> np.ndarray:
    return maps[0].flatten(1).T.float().cpu().numpy()


def sifid(stem: InceptionStem, samples: Tensor, source: Tensor) -> tuple[list[float], list[float]]:
    """Return the SIFIDs between samples, uint8 [N, 3, H, W], and the source [1, 3, H, W], for 64 and 192 channels."""
    reference = stem(source)
    values = [
        tuple(frechet_distance(real, fake) for real, fake in zip(reference, stem(image[None]), strict=True))
        for image in samples
    ]
    return [value[0] for value in values], [value[1] for value in values]
