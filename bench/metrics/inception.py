"""Inception v3 in the two forms that published FIDs rest on.

`CleanFidInception`: clean-fid's resizing (PIL bicubic in float, each channel by itself, to 299x299) and its wrapper of
the TorchScript network. `AuthorsInception`: what the paper's authors (through FastGAN's script) do: PIL bilinear to
256x256 in uint8, then the ported network of pytorch-fid, whose input is brought to 299x299 bilinearly without
antialiasing; generated images first pass `as_saved_by_authors`. Two protocols: their numbers are not comparable.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from bench.files import sha256_file
from bench.metrics.features import chunks

CPU_CHUNK, CUDA_CHUNK = 8, 64
BLOCKS = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")


class CleanFidInception:
    """2048 features of clean-fid's `clean` mode."""

    name = "inception-tf2015/cleanfid-resize299/pool2048"
    dim = 2048
    input_range = (0, 255)

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        """`path`: the TorchScript file, inception-2015-12-05.pt; the caller has checked it."""
        from cleanfid.inception_torchscript import InceptionV3W
        from cleanfid.resize import build_resizer

        self.device = torch.device(device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")  # the published file is TorchScript
            network = InceptionV3W(str(Path(path).parent), download=False)
        self.network = network.to(self.device).eval()
        self.resize = build_resizer("clean")
        self.chunk = _chunk(self.device)
        self.weights_sha256 = sha256_file(path)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._features(part) for part in chunks(images, self.chunk)])

    def _features(self, images: Tensor) -> Tensor:
        resized = np.stack([self.resize(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()])
        # left in the order it lies in, channels last: on a CPU two thirds of the time
        return self.network(torch.from_numpy(resized).permute(0, 3, 1, 2).to(self.device))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Class logits [N, 1008] without the output's bias, as the Inception score takes them."""
        weight = self.network.base.output.weight.detach().float().cpu().numpy()
        return features @ weight.T


class AuthorsInception:
    """2048 features as the paper's authors compute them."""

    name = "inception-ptfid/pil-bilinear256/pool2048"
    dim = 2048
    input_range = (0, 255)

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        """`path`: pytorch-fid's state dict, pt_inception-2015-12-05-6726825d.pth; the caller has checked it."""
        self.device = torch.device(device)
        self.network = ported_inception(path).to(self.device)
        self.chunk = _chunk(self.device)
        self.weights_sha256 = sha256_file(path)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._features(part) for part in chunks(images, self.chunk)])

    def _features(self, images: Tensor) -> Tensor:
        pictures = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
        size, bilinear = (256, 256), Image.Resampling.BILINEAR
        resized = [np.asarray(image if image.size == size else image.resize(size, bilinear)) for image in pictures]
        x = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(self.device).float() / 255
        x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
        return self.network(2 * x - 1).flatten(1)


def _chunk(device: torch.device) -> int:
    return CUDA_CHUNK if device.type == "cuda" else CPU_CHUNK


def as_saved_by_authors(images: Tensor) -> Tensor:
    """Generated uint8 images as their script saves them: nearest to 512x512."""
    return F.interpolate(images.float(), size=(512, 512), mode="nearest").to(torch.uint8)


def ported_inception(path: Path) -> nn.Sequential:
    """torchvision's Inception v3 with the blocks that differ in the TensorFlow network, up to the average pooling."""
    from cleanfid import inception_pytorch as ported
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    network.Mixed_5b = ported.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = ported.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = ported.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = ported.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = ported.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = ported.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = ported.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = ported.FIDInceptionE_1(1280)
    network.Mixed_7c = ported.FIDInceptionE_2(2048)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return trunk(network).eval().requires_grad_(False)


def trunk(network: nn.Module) -> nn.Sequential:
    first = [network.get_submodule(f"Conv2d_{name}") for name in ("1a_3x3", "2a_3x3", "2b_3x3")]
    second = [network.get_submodule(f"Conv2d_{name}") for name in ("3b_1x1", "4a_3x3")]
    mixed = [network.get_submodule(f"Mixed_{name}") for name in BLOCKS]
    pool = nn.MaxPool2d(3, stride=2)
    return nn.Sequential(*first, pool, *second, nn.MaxPool2d(3, stride=2), *mixed, nn.AdaptiveAvgPool2d(1))
