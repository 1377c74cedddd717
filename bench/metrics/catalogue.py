"""Every metric by name: its tasks, unit and direction. No torch: the plan checks names with this."""

from dataclasses import dataclass
from typing import Literal

from bench.errors import InputError, did_you_mean

FEWSHOT, ONESHOT, CLASSIFICATION = "fewshot", "oneshot", "classification"
ALL = (FEWSHOT, ONESHOT, CLASSIFICATION)
Direction = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class Kind:
    """`weights`: what the metric needs beyond the packages, a name of the catalogue's weights; `least`: of images."""

    tasks: tuple[str, ...]
    direction: Direction
    unit: str = ""
    weights: str | None = None
    least: int = 1


def _few(direction: Direction, weights: str | None = None, least: int = 2) -> Kind:
    return Kind((FEWSHOT,), direction, weights=weights, least=least)


def _one(direction: Direction, weights: str | None = None) -> Kind:
    return Kind((ONESHOT,), direction, weights=weights)


METRICS: dict[str, Kind] = {
    "fd_efflite0": _few("lower"),
    "kid_efflite0": _few("lower"),
    "precision_efflite0": _few("higher", least=6),
    "recall_efflite0": _few("higher", least=6),
    "density_efflite0": _few("higher", least=6),
    "coverage_efflite0": _few("higher", least=6),
    "diversity_efflite0": _few("higher"),
    "memorisation_efflite0": _few("lower"),
    "fid_cleanfid": _few("lower", "inception-cleanfid"),
    "kid_inception": _few("lower", "inception-cleanfid"),
    "inception_score": _few("higher", "inception-cleanfid"),
    "fid_authors": _few("lower", "inception-pytorch-fid"),
    "lpips_diversity": _few("higher", "vgg16-torchvision"),
    "ssim_reconstruction": _one("higher"),
    "ssim_samples": _one("higher"),
    "ms_ssim_reconstruction": _one("higher"),
    "ms_ssim_samples": _one("higher"),
    "diversity": _one("higher"),
    "sifid64": _one("lower", "inception-torchvision"),
    "sifid192": _one("lower", "inception-torchvision"),
    "lpips_reconstruction": _one("lower", "vgg16-torchvision"),
    "lpips_samples": _one("lower", "vgg16-torchvision"),
    "top1": Kind((CLASSIFICATION,), "higher", "%"),
    "top5": Kind((CLASSIFICATION,), "higher", "%"),
    "ece": Kind((CLASSIFICATION,), "lower", "%"),
    "params": Kind(ALL, "lower"),
    "macs": Kind(ALL, "lower"),
    "latency": Kind(ALL, "lower", "ms"),
    "memory": Kind(ALL, "lower"),
}


def check_metrics(metrics: tuple[str, ...], task: str, source: str, n_fake: int | None = None) -> None:
    """Refuse a name that does not exist, or exists for another task, or needs more images than are generated."""
    valid = [name for name, kind in METRICS.items() if task in kind.tasks]
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"{source}: unknown metric {name!r}{did_you_mean(name, valid)}")
        if name not in valid:
            raise InputError(f"{source}: metric {name!r} is for {METRICS[name].tasks[0]}, not {task}")
        if n_fake is not None and n_fake < METRICS[name].least:
            raise InputError(f"{source}: {name!r} needs n_fake of {METRICS[name].least} at least, not {n_fake}")
