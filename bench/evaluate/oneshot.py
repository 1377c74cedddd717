"""Scores one-shot runs: compares samples and reconstruction with the training image at the finest pyramid scale.

The network is in evaluation mode, and generates samples one at a time from the evaluation's latent seed. The control is
the coarsest training image, upsampled bicubically to the finest size. A network that learnt nothing above the first
pyramid scale would produce this image.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from bench.data.datasets import load_images
from bench.errors import InputError
from bench.evaluate.attention import ATTENTION, recorded_gates, save_attention
from bench.evaluate.cost import measure_cost
from bench.evaluate.measurement import Clock, Measurement
from bench.evaluate.writer import ScoreFolder
from bench.export import load_export
from bench.metrics.catalogue import SIFID_WEIGHTS
from bench.metrics.diversity import pixel_diversity
from bench.metrics.features import exact_float32
from bench.metrics.lpips import MISSING_WEIGHTS, has_lpips_weights, load_lpips
from bench.metrics.sifid import InceptionStem, sifid
from bench.metrics.ssim import ms_ssim, ms_ssim_scales, ssim
from bench.metrics.weights import weights_path
from bench.networks import PyramidNetwork
from bench.run import OneShotRecipe, Run
from bench.runtime.images import to_signed, to_uint8
from bench.runtime.memory import check_memory
from bench.runtime.rng import generator
from bench.sampling import check_finite

LPIPS = ("lpips_reconstruction", "lpips_samples")
MIN_LPIPS_SIDE = 16  # px, because VGG halves the resolution four times
SIFID = {"sifid64": "maxpool1-64", "sifid192": "before-pool2-192"}
PerImage = Callable[[Tensor, Tensor], list[float] | None]
"""Function that returns N scores of images, uint8 [N, 3, H, W], against the training image, or None if undefined."""


def evaluate_oneshot(run: Run, run_dir: Path, scores: ScoreFolder) -> None:
    assert isinstance(run.recipe, OneShotRecipe)
    pyramid = cast(PyramidNetwork, load_export(run_dir)[0].to(scores.device))
    image = load_images(run.data_folder).to(scores.device)
    with torch.inference_mode(), exact_float32():
        source = to_uint8(pyramid.training_images(to_signed(image))[-1])
        reconstruction = to_uint8(check_finite(pyramid.reconstruct(), "reconstruction"))
        bicubic = to_uint8(pyramid.bicubic())
        samples = draw_samples(pyramid, run.evaluation.n_fake or run.recipe.n_samples, run.evaluation.latent_seed)
    height, width = source.shape[-2:]
    size = f"px{height}x{width}"
    for family, (parts, measure) in _measures(scores, height, width).items():
        for metric, images, weights in (
            (f"{family}_reconstruction", reconstruction, "last"),
            (f"{family}_reconstruction", bicubic, "control-bicubic"),
            (f"{family}_samples", samples, "last"),
        ):
            if scores.is_planned(metric):
                with _errors_as_failed_scores(scores, metric):
                    _add_scores(scores, metric, weights, (*parts, size), measure, (images, source))
    _sifid(scores, samples, source, size)
    _diversity(scores, samples, source, size)
    _attention(scores, pyramid)
    noises = [pyramid.draw(scale, 1, None) for scale in range(len(pyramid.sizes))]
    with torch.no_grad():
        measure_cost(scores, pyramid, lambda: pyramid(noises), size)


@contextmanager
def _errors_as_failed_scores(scores: ScoreFolder, *metrics: str) -> Iterator[None]:
    """Convert an error that the images cause (too small, one colour, a single sample) to failed scores of `metrics`."""
    try:
        yield
    except InputError as error:
        scores.fail(str(error), metrics=metrics)


def draw_samples(pyramid: PyramidNetwork, n: int, seed: int) -> Tensor:
    """Return the images of `pyramid.sample(n, ...)`, computed one at a time to limit memory."""
    if pyramid.amplitudes.device.type == "cpu":
        values = sum(3 * height * width for height, width in pyramid.sizes)  # noise values per sample
        check_memory(4 * n * values, f"{n} one-shot samples (evaluation.n_fake, or recipe.n_samples)")
    source = generator("cpu", seed, "samples")
    noises = [pyramid.draw(scale, n, source) for scale in range(len(pyramid.sizes))]
    images = [pyramid([noise[i : i + 1] for noise in noises]) for i in range(n)]
    return to_uint8(check_finite(torch.cat(images), "samples"))


def _measures(scores: ScoreFolder, height: int, width: int) -> dict[str, tuple[tuple[str, ...], PerImage]]:
    """Return a mapping from metric family to (protocol parts, function) for the metrics that compare two images."""
    scales = ms_ssim_scales(height, width)
    window = "gauss11-sigma1.5-population-range1-rgb"
    measures: dict[str, tuple[tuple[str, ...], PerImage]] = {
        "ssim": ((window,), lambda images, source: ssim(images, source).tolist()),
        "ms_ssim": ((window, f"scales{scales}"), _ms_ssim),
    }
    if scores.is_planned(*LPIPS) and not has_lpips_weights():
        scores.fail(MISSING_WEIGHTS, metrics=LPIPS)
    elif scores.is_planned(*LPIPS):
        network = load_lpips().to(scores.device)
        measures["lpips"] = (("vgg16-v0.1",), lambda images, source: _lpips(network, images, source))
    return measures


def _ms_ssim(images: Tensor, source: Tensor) -> list[float] | None:
    values = ms_ssim(images, source)
    return None if values is None else values.tolist()


@torch.inference_mode()
def _lpips(network: nn.Module, images: Tensor, source: Tensor) -> list[float]:
    height, width = source.shape[-2:]
    if min(height, width) < MIN_LPIPS_SIDE:
        raise InputError(f"LPIPS needs at least {MIN_LPIPS_SIDE} px, got {height}x{width}")
    y = to_signed(source)
    return [network(to_signed(image[None]), y).item() for image in images]


def _add_scores(
    scores: ScoreFolder,
    metric: str,
    weights: str,
    parts: tuple[str, ...],
    measure: PerImage,
    pair: tuple[Tensor, Tensor],
) -> None:
    clock = Clock()
    values = measure(*pair)
    if metric.endswith("_samples"):
        parts = (*parts, f"samples{len(pair[0])}")
    if values is None:
        height, width = pair[1].shape[-2:]
        reason = f"undefined, because fewer than two scales fit {height}x{width} px"
        scores.add(Measurement(metric, None, parts, n=len(pair[0]), reason=reason), weights)
    else:
        scores.add(_mean_measurement(metric, parts, values, clock), weights)


def _mean_measurement(metric: str, parts: tuple[str, ...], values: list[float], clock: Clock) -> Measurement:
    """Return the mean over images, with each value and the median in the details."""
    tensor = torch.tensor(values, dtype=torch.float64)
    n = len(values)
    error = (tensor.std() / n**0.5).item() if n > 1 else None
    details = {"per_image": [round(value, 6) for value in values], "median": tensor.quantile(0.5).item()}
    return Measurement(
        metric,
        tensor.mean().item(),
        parts,
        n=n,
        seconds=clock.seconds,
        standard_error=error,
        details=details if n > 1 else {},
    )


def _sifid(scores: ScoreFolder, samples: Tensor, source: Tensor, size: str) -> None:
    if not scores.is_planned(*SIFID):
        return
    clock = Clock()
    (path,) = map(weights_path, SIFID_WEIGHTS)
    stem = InceptionStem(path, scores.device)
    with _errors_as_failed_scores(scores, *SIFID):
        found = sifid(stem, samples, source)
        for (metric, layer), values in zip(SIFID.items(), found, strict=True):
            parts = ("inception-torchvision-v1", layer, "no-resize", size, f"samples{len(values)}")
            scores.add(_mean_measurement(metric, parts, values, clock))


def _diversity(scores: ScoreFolder, samples: Tensor, source: Tensor, size: str) -> None:
    if not scores.is_planned("diversity"):
        return
    clock, n = Clock(), len(samples)
    with _errors_as_failed_scores(scores, "diversity"):
        value = pixel_diversity(samples, source)
        parts = ("singan-luma", size, f"samples{n}")
        scores.add(Measurement("diversity", value, parts, n=n, seconds=clock.seconds))


def _attention(scores: ScoreFolder, pyramid: PyramidNetwork) -> None:
    """Record the gates for the reconstruction and for one sample from a fixed latent seed."""
    with recorded_gates(pyramid) as records, torch.inference_mode(), exact_float32():
        reconstruction = to_uint8(check_finite(pyramid.reconstruct(), "reconstruction"))
        sample = draw_samples(pyramid, 1, scores.run.evaluation.latent_seed)
    save_attention(scores.out / ATTENTION, torch.cat([reconstruction, sample]), records)
