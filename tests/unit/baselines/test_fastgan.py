"""FastGAN's networks: parameter counts, positions of SLIM, output shapes at every image size, errors."""

import pytest
import torch

import baselines.fastgan
import slim.fastgan
from baselines.fastgan import SLEGate
from slim import SkipLayerSLIM
from tests.helpers.properties import error

COUNTS = {
    ("sle", 256): 29_127_846,
    ("sle", 1024): 29_176_512,
    ("slim", 256): 28_486_942,
    ("slim", 1024): 28_503_687,
    ("discriminator", 256): 11_526_160,
    ("discriminator", 1024): 11_528_192,
}
MAKERS = {
    "sle": baselines.fastgan.generator,
    "slim": slim.fastgan.generator,
    "discriminator": baselines.fastgan.discriminator,
}
SIZES = (64, 128, 256, 512, 1024)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("kind", "image_size"), COUNTS, ids=str)
def test_parameter_counts_equal_published_ones(kind: str, image_size: int) -> None:
    assert parameters(MAKERS[kind](image_size=image_size, spectral_norm=False)) == COUNTS[kind, image_size]


def test_parameter_counts_of_the_slim_gates() -> None:
    gates = slim.fastgan.generator(image_size=1024, spectral_norm=False).gates
    assert [parameters(gate) for gate in gates.values()] == [2_113_536, 15_525, 4_053, 1_101]
    gates = slim.fastgan.generator(image_size=256, spectral_norm=False).gates
    assert [parameters(gate) for gate in gates.values()] == [2_113_536, 15_524, 4_052]


def kinds(generator: torch.nn.Module) -> dict[int, type]:
    return {int(size): type(gate) for size, gate in generator.gates.items()}


def test_position_of_slim_in_the_generator() -> None:
    at = {size: kinds(slim.fastgan.generator(image_size=size, spectral_norm=False)) for size in SIZES[1:]}
    assert at[128] == {64: SLEGate, 128: SkipLayerSLIM}
    assert at[256] == {64: SLEGate, 128: SkipLayerSLIM, 256: SkipLayerSLIM}
    assert at[512] == {64: SLEGate, 128: SkipLayerSLIM, 256: SkipLayerSLIM, 512: SLEGate}
    assert at[1024] == {64: SLEGate, 128: SkipLayerSLIM, 256: SkipLayerSLIM, 512: SkipLayerSLIM}
    chosen = slim.fastgan.generator(image_size=64, base_channels=16, pairs=(64,), spectral_norm=False)
    assert kinds(chosen) == {64: SkipLayerSLIM}


def test_dilation_and_noise_follow_the_paper_unless_given() -> None:
    gates = slim.fastgan.generator(image_size=1024, spectral_norm=False).gates
    assert [gates[size].mask[3].dilation for size in ("128", "256", "512")] == [(2, 2), (2, 2), (4, 4)]
    assert all(gates[size].noise_weight is not None for size in ("128", "256", "512"))
    gates = slim.fastgan.generator(image_size=256, spectral_norm=False).gates
    assert all(gates[size].noise_weight is None for size in ("128", "256"))
    gates = slim.fastgan.generator(image_size=256, dilation=1, mask_noise=True, spectral_norm=False).gates
    assert all(gates[size].mask[6].dilation == (1, 1) for size in ("128", "256"))
    assert all(gates[size].noise_weight is not None for size in ("128", "256"))


def test_gate_choices_of_the_baseline() -> None:
    options = {"image_size": 64, "base_channels": 4, "spectral_norm": False}
    assert kinds(baselines.fastgan.generator(**options, gate="none")) == {}
    assert not baselines.fastgan.generator(**options).gates["64"].residual
    assert baselines.fastgan.generator(**options, gate="sle-residual").gates["64"].residual


@pytest.mark.parametrize("image_size", SIZES)
def test_shapes_and_finite_values_at_every_size(image_size: int) -> None:
    torch.manual_seed(0)
    generator = baselines.fastgan.generator(image_size=image_size, base_channels=8, latent_dim=16)
    discriminator = baselines.fastgan.discriminator(image_size=image_size, base_channels=8)
    small = 128 if image_size >= 256 else image_size // 2
    assert (generator.image_size, generator.latent_dim) == (image_size, 16)
    assert generator.small_size == discriminator.small_size == small
    with torch.no_grad():
        images = generator(torch.randn(2, 16))
        logits, decoded = discriminator(*images, part=3)
    assert [tuple(image.shape) for image in images] == [(2, 3, image_size, image_size), (2, 3, small, small)]
    assert logits.shape == (2, 50)
    assert [tuple(image.shape) for image in decoded] == [(2, 3, 128, 128)] * 3
    assert all(torch.isfinite(value).all() for value in (*images, logits, *decoded))
    assert max(image.abs().max() for image in decoded) <= 1


@pytest.mark.parametrize(("image_size", "size", "blocks"), [(64, 64, 3), (128, 128, 4), (256, 128, 4)])
def test_scaled_decoders_have_the_documented_widths(image_size: int, size: int, blocks: int) -> None:
    discriminator = baselines.fastgan.discriminator(image_size=image_size, base_channels=16, decoder_scaled=True)
    widths = [layer[0].out_channels for layer in discriminator.decode_whole[:blocks]]
    assert widths == [64, 32, 32, 16][:blocks]
    assert len(discriminator.decode_whole) == blocks + 2
    small = 128 if image_size >= 256 else image_size // 2
    _, decoded = discriminator(torch.randn(2, 3, image_size, image_size), torch.randn(2, 3, small, small), part=0)
    assert [tuple(image.shape) for image in decoded] == [(2, 3, size, size)] * 3
    narrow = baselines.fastgan.discriminator(image_size=64, base_channels=1, decoder_scaled=True)
    assert [layer[0].out_channels for layer in narrow.decode_part[:3]] == [8, 8, 8]


def test_each_part_decodes_its_quadrant() -> None:
    """A change in one quadrant of the 16x16 map changes only the reconstruction of that part."""
    torch.manual_seed(0)
    discriminator = baselines.fastgan.discriminator(image_size=64, base_channels=4).eval()
    image, small = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 32, 32)
    before = [discriminator(image, small, part=part)[1].part for part in range(4)]
    quadrants = {0: (0, 0), 1: (0, 8), 2: (8, 0), 3: (8, 8)}
    for part, (row, column) in quadrants.items():

        def nudge(
            module: object, inputs: object, x: torch.Tensor, row: int = row, column: int = column
        ) -> torch.Tensor:
            x = x.clone()
            x[:, :, row : row + 8, column : column + 8] += 1
            return x

        handle = discriminator.blocks["16"].register_forward_hook(nudge)
        after = [discriminator(image, small, part=other)[1].part for other in range(4)]
        handle.remove()
        assert [not torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [n == part for n in range(4)]


def test_tanh_follows_the_authors_unless_given() -> None:
    make = baselines.fastgan.generator
    options = {"base_channels": 8, "latent_dim": 8, "spectral_norm": False}
    assert make(image_size=1024, **options).tanh
    assert not make(image_size=256, **options).tanh
    assert make(image_size=256, tanh=True, **options).tanh
    torch.manual_seed(0)
    z, plain = torch.randn(2, 8), make(image_size=64, tanh=False, **options).eval()
    bounded = make(image_size=64, tanh=True, **options).eval()
    bounded.load_state_dict(plain.state_dict())
    for a, b in zip(bounded(z), plain(z), strict=True):
        assert error(a, torch.tanh(b)) < 1e-6


@pytest.mark.parametrize(
    ("maker", "options", "words"),
    [
        ("sle", {"image_size": 96}, "image_size must be one of 64, 128, 256, 512, 1024, got 96"),
        ("sle", {"image_size": 1024, "base_channels": 12}, "multiple of 8 at 1024 px, got 12"),
        ("sle", {"base_channels": 0}, "got 0"),
        ("sle", {"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ("sle", {"gate": "slim"}, "got 'slim'"),
        ("slim", {"image_size": 64}, "give pairs"),
        ("slim", {"pairs": (512,)}, r"256 px, which are \(64, 128, 256\); got \(512,\)"),
        ("slim", {"pairs": ()}, r"got \(\)"),
        ("slim", {"base_channels": 8}, "32 / 4 // 16 = 0"),
        ("slim", {"groups": 1}, "constant over positions"),
        ("discriminator", {"image_size": 32}, "got 32"),
        ("discriminator", {"base_channels": 6}, "multiple of 4 at 256 px, got 6"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_with_the_numbers(maker: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MAKERS[maker](**options)


def test_discriminator_refuses_other_shapes_and_parts() -> None:
    discriminator = baselines.fastgan.discriminator(image_size=64, base_channels=4)
    image, small = torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"image must be \[B, 3, 64, 64\], got \[2, 3, 32, 32\]"):
        discriminator(small, small)
    with pytest.raises(ValueError, match=r"small must be \[B, 3, 32, 32\]"):
        discriminator(image, image)
    with pytest.raises(ValueError, match="got 2 and 1"):
        discriminator(image, small[:1])
    with pytest.raises(ValueError, match="0 to 3, got 4"):
        discriminator(image, small, part=4)
