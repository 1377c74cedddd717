"""FastGAN's two networks at their smallest size, and limits of their arguments."""

from typing import get_args

import pytest
import torch

from baselines.fastgan import default_tanh, gate_pairs
from baselines.fastgan_discriminator import Discriminator
from baselines.fastgan_generator import Generator
from baselines.fastgan_layers import check_size
from baselines.options import GateTarget, ImageSize


def test_the_sizes_of_the_arguments_are_those_of_the_networks():
    for size in get_args(ImageSize):
        check_size(size, 64)
    assert set(get_args(GateTarget)) == set(gate_pairs(1024, 64))
    with pytest.raises(ValueError, match="image_size must be one of"):
        check_size(2 * max(get_args(ImageSize)), 64)


def test_a_generator_without_gates_and_its_discriminator():
    torch.manual_seed(0)
    generator = Generator(
        image_size=64, base_channels=8, latent_dim=4, tanh=default_tanh(64, None), spectral_norm=False, gates={}
    )
    image, small = generator(torch.randn(2, 4))
    assert image.shape == (2, 3, 64, 64) and small.shape[:2] == (2, 3)
    critic = Discriminator(image_size=64, base_channels=8, decoder_scaled=True, spectral_norm=False)
    assert all(p.numel() for p in critic.parameters()) and image.isfinite().all()
