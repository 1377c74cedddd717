"""Recording of gates: equal to the values of the forward pass, and without an effect on the images."""

import json

import pytest
import torch
from safetensors import safe_open

from baselines.fastgan import generator as sle_generator
from baselines.sle import SLEGate
from bench.evaluate.attention import GateRecords, recorded_gates, save_attention
from bench.ownership import is_attention
from slim.fastgan import generator as slim_generator
from slim.skip import EPSILON, SkipLayerSLIM


def small_slim(**options):
    return slim_generator(image_size=64, base_channels=16, latent_dim=8, pairs=(64,), reduction=1, **options)


@pytest.mark.parametrize("noise", [False, True])
def test_recorded_masks_and_styles_equal_the_forward_pass(noise):
    torch.manual_seed(0)
    gate = SkipLayerSLIM(low_channels=8, high_channels=6, groups=2, reduction=1, mask_noise=noise).eval()
    if noise:
        torch.nn.init.ones_(gate.noise_weight)
    low, high = torch.randn(3, 8, 4, 4), torch.randn(3, 6, 16, 16)
    with recorded_gates(torch.nn.ModuleDict({"gate": gate})) as records, torch.no_grad():
        torch.manual_seed(1)
        out = gate(low, high)
        torch.manual_seed(1)
        masks, styles = gate.attention(low)
    found = records.tensors(3)
    assert torch.equal(found["gate/masks"], masks.half())
    assert torch.allclose(found["gate/strength"], styles.square().mean(2).sqrt())
    factors = 1 + torch.einsum("bghw,bgc->bchw", masks / (masks.sum(1, keepdim=True) + EPSILON), styles)
    expected = high * factors.repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)


def test_channel_gates_are_the_factors_of_the_forward_pass():
    torch.manual_seed(0)
    gate = SLEGate(low_channels=4, high_channels=3).eval()
    low, high = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 16, 16)
    with recorded_gates(torch.nn.ModuleDict({"gate": gate})) as records, torch.no_grad():
        out = gate(low, high)
    torch.testing.assert_close(out, high * records.tensors(2)["gate/channels"][..., None, None])


def test_recording_changes_neither_images_nor_random_numbers():
    torch.manual_seed(0)
    network, z = small_slim(mask_noise=True).eval(), torch.randn(2, 8)
    torch.manual_seed(1)
    with torch.no_grad():
        plain, after = network(z)[0], torch.rand(1)
        torch.manual_seed(1)
        with recorded_gates(network) as records:
            recorded, after_recording = network(z)[0], torch.rand(1)
        again = network(z)[0]
    assert torch.equal(plain, recorded) and torch.equal(after, after_recording)
    assert list(records.sizes) == ["gates.64"] and len(again) == 2
    assert len(records.tensors(9)["gates.64/masks"]) == 2  # no hook is left after the block


def test_the_file_lists_gates_in_order_with_the_sizes_of_both_maps(tmp_path):
    torch.manual_seed(0)
    network = sle_generator(image_size=128, base_channels=8, latent_dim=8).eval()
    with recorded_gates(network) as records, torch.no_grad():
        network(torch.randn(4, 8))
    path = tmp_path / "attention.safetensors"
    save_attention(path, torch.zeros(2, 3, 128, 128, dtype=torch.uint8), records)
    assert is_attention(path)
    with safe_open(path, "pt") as file:
        gates = json.loads(file.metadata()["gates"])
        assert file.get_tensor("gates.64/channels").shape == (2, 16)
    assert gates == [
        {"name": "gates.64", "low": [4, 4], "high": [64, 64]},
        {"name": "gates.128", "low": [8, 8], "high": [128, 128]},
    ]


def test_a_network_without_gates_has_no_file(tmp_path):
    save_attention(tmp_path / "attention.safetensors", torch.zeros(1, 3, 8, 8, dtype=torch.uint8), GateRecords())
    assert not list(tmp_path.iterdir())
    (tmp_path / "other").write_bytes(b"12345678{}")
    assert not is_attention(tmp_path / "other") and not is_attention(tmp_path / "missing")
