"""SinGAN's networks and pyramid, with and without SLIM."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from baselines.pyramid import pyramid_sizes
from baselines.singan import Pyramid
from baselines.singan import pyramid as plain
from baselines.singan_scale import PADDING, ScaleCritic, ScaleGenerator, per_image, width_at
from bench.train.oneshot.wgan import gradient_penalty
from slim.singan import dilation_at
from slim.singan import pyramid as with_slim
from slim.skip import SkipLayerSLIM

SMALL = {"height": 40, "width": 52, "max_size": 52, "base_channels": 8}
MAKERS = {"plain": plain, "slim": with_slim}
COMBINATIONS = list(itertools.product(MAKERS, (True, False)))


def make(kind: str = "slim", **overrides: object) -> Pyramid:
    torch.manual_seed(0)
    network = MAKERS[kind](**{**SMALL, **overrides})
    network.fixed_noise.copy_(torch.randn(network.fixed_noise.shape))
    network.amplitudes[1:] = 0.05
    return network


@pytest.mark.parametrize(
    ("height", "width", "max_size", "word"), [(20, 60, 250, "20x60"), (100, 800, 150, "19x150"), (25, 24, 250, "25x24")]
)
def test_an_image_too_small_is_refused_with_the_sizes(height: int, width: int, max_size: int, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        pyramid_sizes(height, width, max_size=max_size)
    assert f"{height}x{width}" in str(caught.value) and "25 px" in str(caught.value)


@pytest.mark.parametrize("factor", [0.0, 1.0, 1.5])
def test_a_scale_factor_outside_its_range_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="scale_factor"):
        pyramid_sizes(100, 100, scale_factor=factor)


def test_every_scale_can_be_reached_by_the_resize_from_below() -> None:
    for height, width, factor in itertools.product(range(25, 320, 13), range(27, 320, 17), (0.5, 0.75, 0.85)):
        shrunk = min(1.0, 250 / max(height, width))
        if min(height, width) * shrunk < 25:
            continue
        plan = pyramid_sizes(height, width, scale_factor=factor)
        assert min(plan.sizes[0]) in (25, 26) and max(plan.sizes[-1]) <= 250
        for below, above in itertools.pairwise(plan.sizes):
            assert all(a >= b and a <= b / plan.scale_factor + 1 for a, b in zip(above, below, strict=True))


@pytest.mark.parametrize(("kind", "residual"), COMBINATIONS)
def test_the_four_combinations_of_slim_and_residual_generate_images(kind: str, residual: bool) -> None:
    network = make(kind, residual=residual)
    assert [scale.residual for scale in network.scales] == [True] + [residual] * (len(network.sizes) - 1)
    gates = [scale.gate for scale in network.scales]
    assert gates[0] is None and all((gate is not None) == (kind == "slim") for gate in gates[1:])
    samples = network.sample(2, torch.Generator().manual_seed(1))
    assert samples.shape == (2, 3, *network.sizes[-1]) and samples.abs().max() <= 1 and samples.isfinite().all()


def test_the_residual_adds_the_image_from_below() -> None:
    torch.manual_seed(0)
    network = ScaleGenerator(8)
    noisy, previous = torch.randn(1, 3, 30, 40), torch.randn(1, 3, 30, 40)
    added = network(noisy, previous)
    network.residual = False
    inner = previous[..., PADDING:-PADDING, PADDING:-PADDING]
    assert torch.allclose(added - network(noisy, previous), inner, atol=1e-6)
    assert added.shape[-2:] == (20, 30)


def test_widths_double_every_four_scales_up_to_128() -> None:
    assert [width_at(scale, 32) for scale in (0, 3, 4, 7, 8, 12)] == [32, 32, 64, 64, 128, 128]
    assert [dilation_at(scale) for scale in (1, 3, 4, 9)] == [5, 5, 8, 8]


def test_parameter_counts_equal_the_formula() -> None:
    def generator(width: int) -> int:
        first, middle, last = 3 * width * 9 + width, width * width * 9 + width, width * 3 * 9 + 3
        return first + 3 * middle + 4 * 2 * width + last

    def gate(width: int, groups: int = 4) -> int:
        c = width // groups
        style = (c * c + c) + (c * width + width)
        mask = (c * c + c) + 2 * (9 * c * c + c) + 3 * 2 * c + (c + 1)
        return groups * (style + mask)

    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(ScaleGenerator(32)) == generator(32)
    assert count(ScaleCritic(32)) == generator(32) - (32 * 2 * 9 + 2)
    network = with_slim(height=250, width=250)
    expected = sum(generator(width) + (gate(width) if scale else 0) for scale, width in enumerate(network.widths))
    assert len(network.sizes) == 11 and count(network) == expected


@pytest.mark.parametrize("network", [ScaleCritic(8), SkipLayerSLIM(low_channels=8, high_channels=8, reduction=1)])
def test_statistics_per_image_are_those_of_bn_on_a_batch_of_one(network: nn.Module) -> None:
    torch.manual_seed(0)
    if isinstance(network, SkipLayerSLIM):
        options = {"low_channels": 8, "high_channels": 8, "reduction": 1, "style_norm": False, "spectral_norm": False}
        network = SkipLayerSLIM(**options)
        twin = per_image(SkipLayerSLIM(**options))
        twin.load_state_dict(network.state_dict(), strict=False)
        images: tuple[Tensor, ...] = (torch.randn(2, 8, 20, 22), torch.randn(2, 8, 14, 16))
    else:
        twin, images = network, (torch.randn(2, 3, 24, 20),)
        network = nn.Sequential(
            *[m if not isinstance(m, nn.InstanceNorm2d) else _batch_norm(m) for m in _leaves(network)]
        )
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    one_by_one = torch.cat([network.train()(*[image[i : i + 1] for image in images]) for i in range(2)])
    assert torch.allclose(twin(*images), one_by_one, atol=1e-5)
    assert torch.allclose(twin.eval()(*images), one_by_one, atol=1e-5)


def _leaves(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if not list(m.children())]


def _batch_norm(norm: nn.InstanceNorm2d) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(norm.num_features)
    made.load_state_dict(norm.state_dict(), strict=False)
    return made


@pytest.mark.parametrize(("kind", "residual"), COMBINATIONS)
def test_every_parameter_gets_a_gradient(kind: str, residual: bool) -> None:
    network = make(kind, residual=residual)
    noises = [network.draw(scale, 1, torch.Generator().manual_seed(scale)) for scale in range(len(network.sizes))]
    previous = network.coarsest.expand(1, 3, -1, -1)
    for scale, noise in enumerate(noises):
        torch.manual_seed(scale)
        if scale:
            previous = network.ups[scale - 1](previous.detach())
        image = network.refine(scale, noise, previous)
        image.backward(torch.randn_like(image))
        previous = image
    largest = max(p.grad.abs().max() for p in network.parameters())
    feeds_norm = ("conv.bias", *(f"mask.{layer}.bias" for layer in (0, 3, 6)))  # cancelled by the mean that follows
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 1e-6 * largest or name.endswith(feeds_norm), name


def test_sampling_changes_no_state_and_an_image_does_not_depend_on_its_batch() -> None:
    network = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    three = network.sample(3, torch.Generator().manual_seed(5))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    noises = [network.draw(scale, 3, torch.Generator().manual_seed(scale)) for scale in range(len(network.sizes))]
    together = network(noises)
    alone = torch.cat([network([noise[i : i + 1] for noise in noises]) for i in range(3)])
    # between scales an image is truncated to 8 bits, which can turn a rounding error into a full level
    assert (together - alone).abs().mean() < 1e-3
    assert torch.allclose(network(noises[:1]), torch.cat([network([n]) for n in noises[0].split(1)]), atol=1e-5)
    assert torch.equal(three, network.sample(3, torch.Generator().manual_seed(5)))
    assert not torch.equal(three[0], three[1])


def test_samples_of_other_sizes_and_of_fewer_scales_can_be_drawn() -> None:
    network = make()
    wide = [(height, 2 * width) for height, width in network.sizes]
    assert network.sample(1, scale_sizes=wide).shape[-2:] == wide[-1]
    assert network.sample(2, scales=1).shape[-2:] == network.sizes[0]
    assert network.reconstruct(2).shape[-2:] == network.sizes[1]
    assert torch.equal(network.reconstruct(), network.reconstruct())


def test_the_coarsest_noise_is_one_channel_for_all_three() -> None:
    network = make()
    assert network.draw(0, 2, None).shape == (2, 1, *network.sizes[0])
    assert network.draw(1, 2, None).shape == (2, 3, *network.sizes[1])
    noise, zero = network.draw(0, 1, None), torch.zeros(1, 3, *network.sizes[0])
    assert torch.equal(network.refine(0, noise, zero), network.refine(0, noise.expand(-1, 3, -1, -1), zero))


def test_training_images_have_the_planned_sizes_and_end_in_the_shrunk_image() -> None:
    network = make(height=80, width=104)
    image = torch.rand(1, 3, 80, 104) * 2 - 1
    images = network.training_images(image)
    assert tuple(tuple(i.shape[-2:]) for i in images) == network.sizes and network.sizes[-1] == (40, 52)


def test_the_bicubic_control_uses_only_the_coarsest_image() -> None:
    network = make()
    ramp = torch.linspace(-0.8, 0.8, network.sizes[0][1]).expand(1, 3, network.sizes[0][0], -1)
    network.coarsest.copy_(ramp)
    control = network.bicubic()
    expected = torch.linspace(-0.8, 0.8, network.sizes[-1][1])
    assert control.shape[-2:] == network.sizes[-1] and (control[0, 0, 10] - expected).abs().max() < 0.05


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"reduction": 2, "groups": 1, "normalise": False}, {"shared": True}]
)
def test_variations_of_slim_generate_finite_images(options: dict[str, object]) -> None:
    assert make(**options).sample(1).isfinite().all()


def test_the_penalty_is_taken_over_channels_at_each_pixel() -> None:
    weight = torch.tensor([3.0, 4.0, 0.0]).view(1, 3, 1, 1)
    linear: Callable[[Tensor], Tensor] = lambda x: (x * weight).sum(1, keepdim=True)  # noqa: E731
    assert gradient_penalty(linear, torch.randn(1, 3, 5, 6)).item() == pytest.approx((5 - 1) ** 2)
    square: Callable[[Tensor], Tensor] = lambda x: 0.5 * x.square()  # noqa: E731
    image = torch.zeros(1, 3, 1, 2)
    image[0, 0, 0, 0] = 2.0  # gradient norms 2 and 0: the mean of 1 and 1
    image[0, 1, 0, 1] = 3.0  # now 2 and 3: the mean of 1 and 4
    assert gradient_penalty(square, image).item() == pytest.approx(2.5)
