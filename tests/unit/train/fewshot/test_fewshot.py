"""Few-shot engine and its parts: hinge loss, DiffAugment, perceptual loss, one step, errors."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.errors import InputError
from bench.export import batch_statistics, load_export
from bench.metrics.efflite import load_efflite0
from bench.runtime.rng import generator, seed_global_generator
from bench.train.fewshot.diffaugment import DiffAugment
from bench.train.fewshot.engine import FewShot, evenly_spaced_steps, quadrant
from bench.train.fewshot.losses import RandomMarginHinge
from bench.train.fewshot.perceptual import EFFLITE_BLOCKS, EffliteTrunk, LpipsTrunk, PerceptualLoss
from bench.train.loop.loop import run_loop
from bench.train.loop.record import Data
from tests.helpers.properties import SLIM_FEEDS_NORM
from tests.helpers.tiny import tiny_run, write_data

CPU = torch.device("cpu")


def stream(name: str = "test") -> torch.Generator:
    return generator("cpu", 0, name)


def test_hinge_margins_are_between_0_8_and_1_per_logit():
    hinge = RandomMarginHinge(stream())
    margins = torch.stack([hinge.real(torch.zeros(1)) for _ in range(500)])
    assert margins.min() >= 0.8 and margins.max() <= 1.0 and margins.std() > 0.04
    many = hinge.real(torch.zeros(100_000))
    assert abs(many - 0.9) < 1e-3  # a single margin for all logits would not cover the range


def test_hinge_loss_has_its_closed_form():
    hinge = RandomMarginHinge(stream())
    logits = torch.tensor([5.0, -5.0])
    assert 2.9 <= hinge.real(logits) <= 3.0 and 2.9 <= hinge.fake(logits) <= 3.0
    assert hinge.generator_loss(torch.tensor([1.0, 3.0])) == -2.0


def test_color_equals_its_three_steps():
    x = torch.randn(4, 3, 6, 6)
    got = DiffAugment(("color",), stream())(x)
    draws = [torch.rand(4, 1, 1, 1, generator=g) for g in [stream()] for _ in range(3)]
    y = x + (draws[0] - 0.5)
    grey = y.mean(1, keepdim=True)
    y = (y - grey) * (2 * draws[1]) + grey
    mean = y.mean((1, 2, 3), keepdim=True)
    y = (y - mean) * (draws[2] + 0.5) + mean
    assert torch.allclose(got, y, atol=1e-6)


def test_translation_shifts_whole_pixels_and_fills_zeros():
    x = torch.arange(1.0, 257.0).view(1, 1, 16, 16).expand(64, 3, 16, 16)
    moved = DiffAugment(("translation",), stream())(x)
    shifts = set()
    for image in moved:
        row, column = (image[0] == 120.0).nonzero()[0].tolist()
        down, right = row - 7, column - 7
        shifts.add((down, right))
        expected = F.pad(x[0, 0], (2, 2, 2, 2))[2 - down : 18 - down, 2 - right : 18 - right]
        assert torch.equal(image, expected.expand(3, 16, 16))
    assert {abs(s) for pair in shifts for s in pair} == {0, 1, 2} and len(shifts) > 10


def test_cutout_zeroes_a_square_of_half_the_side_at_most():
    zeros = (DiffAugment(("cutout",), stream())(torch.ones(64, 3, 8, 8)) == 0)[:, 0].sum((1, 2))
    assert zeros.max() == 16 and zeros.min() >= 4


def test_each_call_draws_new_parameters_and_passes_gradients():
    augment = DiffAugment(("color", "translation"), stream())
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    first, second = augment(x), augment(x)
    assert not torch.equal(first, second)
    first.square().sum().backward()
    assert x.grad.abs().sum() > 0


class Pool(nn.Module):
    """Trunk with two maps whose distances have a simple closed form."""

    name = "pool"

    def forward(self, x):
        return [x, F.avg_pool2d(x, 2)]

    def weight(self, layer):
        return (0.5, 3.0)[layer]


def test_perceptual_loss_closed_form_and_grouping():
    loss = PerceptualLoss(Pool())
    a, b, c, t, u = torch.randn(5, 2, 3, 4, 4).unbind()

    def distance(x, y):
        total = 0.0
        for f, g, weight in zip(Pool()(x), Pool()(y), (0.5, 3.0), strict=True):
            total += weight * (F.normalize(f, dim=1) - F.normalize(g, dim=1)).square().sum(1).mean((1, 2)).sum()
        return total

    expected = distance(a, t) + distance(b, t) + distance(c, u)
    assert torch.allclose(loss([([a, b], t), ([c], u)]), expected, rtol=1e-4)
    assert loss([([t], t)]) < 1e-10  # squares of rounding errors


def test_perceptual_loss_around_lpips_is_lpips():
    from torchvision.models.vgg import cfgs, make_layers

    from bench.metrics.lpips import Lpips

    torch.manual_seed(0)
    trunk = {f"features.{k}": v for k, v in make_layers(cfgs["D"]).state_dict().items()}
    heads = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate((64, 128, 256, 512, 512))}
    lpips = Lpips(trunk, heads)
    x, y = torch.rand(2, 2, 3, 32, 32).unbind()
    x.requires_grad_()
    reference = torch.autograd.grad(lpips(x, y).sum(), x)[0]
    loss = PerceptualLoss(LpipsTrunk(lpips))([([x], y)])
    assert torch.allclose(loss, lpips(x, y).sum(), rtol=1e-4)
    assert torch.allclose(torch.autograd.grad(loss, x)[0], reference, rtol=1e-3, atol=1e-3 * reference.abs().max())


@pytest.mark.parametrize("size", [32, 48])
def test_efflite_trunk_returns_the_feature_maps_of_its_network(size):
    network, trunk = load_efflite0(), EffliteTrunk()
    images = (torch.rand(2, 3, size, size) * 2 - 1).requires_grad_()
    x, wanted = network._swish(network._bn0(network._conv_stem((images * 127.5 + 0.5) / 128))), []
    for index, block in enumerate(network._blocks[: EFFLITE_BLOCKS[-1] + 1]):
        x = block(x)
        wanted += [x] if index in EFFLITE_BLOCKS else []
    maps = trunk(images)
    assert all((a - b).abs().max() < 1e-4 * b.abs().max() for a, b in zip(maps, wanted, strict=True))
    ours, theirs = (torch.autograd.grad(sum(m.square().sum() for m in value), images)[0] for value in (maps, wanted))
    assert (ours - theirs).abs().max() < 1e-3 * theirs.abs().max()
    with pytest.raises(ValueError, match="multiples of 16"):
        trunk(torch.zeros(1, 3, 24, 32))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data("fewshot", tmp_path_factory.mktemp("fewshot") / "data")


def test_every_map_of_a_step_is_channels_last(data):
    engine, layouts = FewShot(tiny_run("fewshot", data), CPU), {}

    def record_layout(name: str):
        def hook(module, inputs, output):
            layouts[name] = output.is_contiguous(memory_format=torch.channels_last)

        return hook

    for network in (engine.generator, engine.discriminator):
        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d | nn.Conv2d) and "gates" not in name:
                module.register_forward_hook(record_layout(f"{type(network).__name__}.{name}"))
    engine.step(0)
    assert layouts and not [name for name, last in layouts.items() if not last]


def test_step_trains_every_parameter_of_both_networks(data):
    engine = FewShot(tiny_run("fewshot", data), CPU)
    networks = nn.ModuleDict({"generator": engine.generator, "discriminator": engine.discriminator})
    before = {name: parameter.detach().clone() for name, parameter in networks.named_parameters()}
    untrained = {f"generator.gates.64.{name}" for name in SLIM_FEEDS_NORM}
    assert untrained < before.keys()
    scalars = engine.step(0)
    assert all(torch.isfinite(value) and value.ndim == 0 and not value.requires_grad for value in scalars.values())
    stayed = {name for name, parameter in networks.named_parameters() if torch.equal(parameter, before[name])}
    assert stayed <= untrained
    assert all(parameter.requires_grad for parameter in networks.parameters())


def test_generator_step_leaves_no_gradient_in_the_discriminator(data):
    engine = FewShot(tiny_run("fewshot", data), CPU)
    engine.discriminator.zero_grad(set_to_none=True)
    engine._generator_step(list(engine.generate(torch.randn(2, engine.generator.latent_dim))))
    assert all(p.grad is None for p in engine.discriminator.parameters())


def test_writing_samples_changes_no_state(data, tmp_path):
    run = tiny_run("fewshot", data, snapshots=2, strips=2)
    recorded_engine, plain_engine = FewShot(run, CPU), FewShot(run, CPU)
    for index in range(2):
        recorded_engine.step(index)
        recorded_engine.observe(index + 1, tmp_path)
        recorded_engine.export(tmp_path)
        plain_engine.step(index)
    a, b = recorded_engine.state_dict(), plain_engine.state_dict()
    assert all(torch.equal(a["generator"][key], b["generator"][key]) for key in a["generator"])
    assert all(torch.equal(a["streams"][key], b["streams"][key]) for key in a["streams"])
    assert (tmp_path / "samples" / "step-0000002.png").exists()
    assert (tmp_path / "snapshots" / "step-0000002.safetensors").exists()


def test_export_is_the_averaged_generator_with_spectral_norm_folded(data, tmp_path):
    run = tiny_run("fewshot", data, steps=1)
    engine = FewShot(run, CPU)
    run_loop(engine, run, tmp_path / "out", tmp_path / "state", Data("d" * 64, None))
    network, meta = load_export(tmp_path / "out")
    assert meta["model"]["args"]["spectral_norm"] is False
    assert meta["training"]["perceptual"].startswith("efflite0")
    z = torch.randn(4, network.latent_dim)
    averaged = engine.ema.averaged()
    buffers = {name: value.clone() for name, value in network.named_buffers()}

    def draw(generator: nn.Module) -> torch.Tensor:
        with torch.no_grad(), seed_global_generator(0), batch_statistics(generator):
            return generator(z)[0]

    first = draw(network)
    assert torch.equal(first, draw(network))
    assert torch.allclose(first, draw(averaged), atol=1e-5)
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())


def test_each_rollback_has_a_different_random_stream(data):
    engines = [FewShot(tiny_run("fewshot", data), CPU) for _ in range(2)]
    engines[1].reseed(1)
    for engine in engines:
        engine._choose_images(0)
    assert not torch.equal(engines[0].order, engines[1].order)
    assert not torch.equal(engines[0]._batch(), engines[1]._batch())


def test_a_batch_larger_than_the_training_set_is_refused(data):
    with pytest.raises(InputError, match="batch_size 7 exceeds the 6 images"):
        FewShot(tiny_run("fewshot", data, batch_size=7), CPU)


def test_steps_are_evenly_spaced_and_quadrants_are_crops():
    assert (
        evenly_spaced_steps(3, 10, first=0) == {0, 3, 7, 10}
        and evenly_spaced_steps(0, 10, first=0) == set()
        and evenly_spaced_steps(1, 7) == {7}
    )
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert [quadrant(x, part)[0, 0, 0, 0].item() for part in range(4)] == [0, 2, 8, 10]
