"""Inception v3 in the two variants used for published FIDs.

`CleanFidInception` uses clean-fid's resize (PIL bicubic in float, per channel, to 299x299) and its wrapper of the
TorchScript network. `AuthorsInception` follows the paper's authors, who use FastGAN's script: PIL bilinear to 256x256
in uint8, then the ported network of pytorch-fid, which resizes its input to 299x299 bilinearly without antialiasing.
Generated images first pass `as_saved_by_authors`. Scores of the two protocols are not comparable.
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
    """Feature extractor with the 2048 features of clean-fid's `clean` mode."""

    name = "inception-tf2015/cleanfid-resize299/pool2048"
    dim = 2048
    input_range = (0, 255)

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        """Load the TorchScript file inception-2015-12-05.pt from `path`. The caller has verified its checksum."""
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
        # the permuted view is channels_last, which takes two thirds of the time on a CPU
        return self.network(torch.from_numpy(resized).permute(0, 3, 1, 2).to(self.device))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return class logits [N, 1008] without the bias of the output layer, as the Inception score uses them."""
        weight = self.network.base.output.weight.detach().float().cpu().numpy()
        return features @ weight.T


class AuthorsInception:
    """Feature extractor with the 2048 features that the paper's authors use."""

    name = "inception-ptfid/pil-bilinear256/pool2048"
    dim = 2048
    input_range = (0, 255)

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        """Load pytorch-fid's state dict, pt_inception-2015-12-05-6726825d.pth. The caller has verified its checksum."""
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
    """Resize generated uint8 images to 512x512 (nearest), as the authors' script does when it saves them."""
    return F.interpolate(images.float(), size=(512, 512), mode="nearest").to(torch.uint8)


def ported_inception(path: Path) -> nn.Sequential:
    """Return torchvision's Inception v3 up to the average pooling, with the blocks of the TensorFlow network."""
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
