"""The Inception network of FID with the two kinds of preprocessing used for published FIDs.

`CleanFidInception` uses clean-fid's resize (PIL bicubic in float, per channel, to 299x299), then (x - 128) / 128.
`AuthorsInception` follows FastGAN's script, which the paper's authors use: PIL bilinear to 256x256 in uint8,
pytorch-fid's resize to 299x299 (bilinear without antialiasing), and scaling to -1..1. Generated images are first
resized by `as_saved_by_authors`. Scores of the two protocols are not comparable.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bench.metrics.features import chunks
from bench.metrics.inception_network import FEATURES, PIXELS, build_inception, load_folded
from bench.metrics.inception_weights import inception_tensors, last_layer

CPU_CHUNK, CUDA_CHUNK = 8, 64


class Inception:
    """Base class of the two extractors, which runs the network in chunks that fit in a CPU's cache."""

    name: str
    dim = FEATURES
    input_range = (0, 255)

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        tensors, self.weights_sha256 = inception_tensors()
        network = build_inception().eval().requires_grad_(False)
        load_folded(network, tensors)
        # the channels-first layout takes 1.3 times as long on a CPU
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.chunk = CUDA_CHUNK if self.device.type == "cuda" else CPU_CHUNK

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features, float32 [B, 2048], of images, uint8 [B, 3, H, W]."""
        return torch.cat([self.network(self.preprocess(part)) for part in chunks(images, self.chunk)])

    def preprocess(self, images: Tensor) -> Tensor:
        """Return the network's input, float32 [B, 3, 299, 299] in about -1..1 on the device, for uint8 [B, 3, H, W]."""
        raise NotImplementedError


class CleanFidInception(Inception):
    """Feature extractor with the 2,048 features of clean-fid's `clean` mode."""

    name = "inception-tf2015/cleanfid-resize299/pool2048"

    def __init__(self, device: torch.device | str = "cpu"):
        from cleanfid.resize import build_resizer

        super().__init__(device)
        self.resize = build_resizer("clean")

    def preprocess(self, images: Tensor) -> Tensor:
        resized = np.stack([self.resize(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()])
        # the permuted view is already channels_last
        return (torch.from_numpy(resized).to(self.device).permute(0, 3, 1, 2) - 128) / 128

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the class logits [N, 1008] of the Inception score, which omits the bias of the last layer."""
        return features @ last_layer().numpy().T


class AuthorsInception(Inception):
    """Feature extractor with the 2,048 features that the paper's authors use."""

    name = "inception-ptfid/pil-bilinear256/pool2048"

    def preprocess(self, images: Tensor) -> Tensor:
        pil_images = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
        size, bilinear = (256, 256), Image.Resampling.BILINEAR
        resized = [np.asarray(image if image.size == size else image.resize(size, bilinear)) for image in pil_images]
        x = torch.from_numpy(np.stack(resized)).to(self.device).permute(0, 3, 1, 2).float() / 255
        return 2 * F.interpolate(x, size=(PIXELS, PIXELS), mode="bilinear", align_corners=False) - 1


def as_saved_by_authors(images: Tensor) -> Tensor:
    """Resize generated uint8 images to 512x512 (nearest), as the authors' script does when saving images."""
    return F.interpolate(images.float(), size=(512, 512), mode="nearest").to(torch.uint8)
