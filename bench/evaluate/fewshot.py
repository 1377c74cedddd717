"""Scores few-shot runs: distances between generated and all training images, with the planned feature extractors.

The scored weights are `last` (the export), `best` (the best snapshot, if the run has snapshots) and `untrained` (the
network of the same seed before training). The best snapshot is selected with other latents than those of the reported
scores. Two controls need no network: a constant white image, and one half of the training images compared with the
other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.datasets import load_images, read_manifest
from bench.evaluate.attention import ATTENTION, recorded_gates, save_attention
from bench.evaluate.cost import measure_cost
from bench.evaluate.extractors import FRECHET, MetricExtractor, compare_features, open_extractors, with_curve
from bench.evaluate.measurement import Clock, Measurement
from bench.evaluate.neighbours import save_neighbours
from bench.evaluate.writer import NEIGHBOURS, ScoreFolder
from bench.export import create_seeded, fold, load_export, load_weights
from bench.files import sha256_file
from bench.metrics.cache import cached_features
from bench.metrics.checks import check_count
from bench.metrics.features import FeatureRows, chunks, features_of
from bench.metrics.frechet import frechet_distance
from bench.metrics.lpips import ABSENT, load_lpips, lpips_is_here
from bench.networks import GeneratorNetwork
from bench.run import FewShotRecipe, Run
from bench.runtime.images import to_signed
from bench.sampling import generate, pick

SNAPSHOTS = "snapshots"
LPIPS_SAMPLES = 40
ATTENTION_SAMPLES = 6
REAL_BATCH = 16
CONTROLLED = ("frechet", "kid")
MIN_IMAGES_PER_HALF = 3


@dataclass(frozen=True)
class Setting:
    """Shared settings of all scores of one run; `real`: features of the training images, one array per extractor."""

    run: Run
    scores: ScoreFolder
    images: Tensor
    extractors: list[MetricExtractor]
    real: list[np.ndarray]

    @property
    def n_fake(self) -> int:
        return self.run.evaluation.n_fake or 5000

    def sampling(self, extractor: MetricExtractor) -> tuple[str, ...]:
        """Return the protocol parts of the image sets: all training images, and the sampling of generated images."""
        saved = (extractor.fake_part,) if extractor.fake_part else ()
        return (self.reals, f"fake{self.n_fake}", *saved, *self.drawn)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Return the protocol parts of the EMA weights and of the batch-norm mode that generate the images."""
        recipe = self.run.recipe
        assert isinstance(recipe, FewShotRecipe)
        ema = f"ema{recipe.ema_decay:g}" + ("-warmup" if recipe.ema_warmup else "")
        return ema, f"bn-train-b{self.run.evaluation.batch_size}"

    @property
    def reals(self) -> str:
        return f"real{len(self.images)}-all"


@dataclass(frozen=True)
class Subject:
    """Name and hash of the scored weights, and the protocol parts of the two image sets."""

    weights: str
    parts: tuple[str, ...]
    model_sha256: str | None = None


def evaluate_fewshot(run: Run, run_dir: Path, scores: ScoreFolder) -> None:
    folder = run.data_folder
    manifest, images = read_manifest(folder), load_images(folder)
    check_count(len(images), manifest.n, str(folder))
    extractors = open_extractors(run.evaluation.metrics, scores.device)
    real = [cached_features(e.network, manifest.sha256, lambda: chunks(images, REAL_BATCH)) for e in extractors]
    setting = Setting(run, scores, images, extractors, real)
    network = cast(GeneratorNetwork, load_export(run_dir)[0].to(scores.device))
    fake = _score(setting, network, "last")
    _score_best(setting, run_dir)
    _score(setting, fold(create_seeded(run.model.model_dump(), run.seed)).to(scores.device), "untrained")
    _controls(setting)
    _lpips_diversity(setting, network)
    z = torch.zeros(1, network.latent_dim, device=scores.device)
    with torch.no_grad():
        measure_cost(scores, network, lambda: network(z), f"px{images.shape[-1]}")
    _neighbours(setting, network, fake)
    _attention(setting, network)


def _features(setting: Setting, network: nn.Module, purpose: str = "latents") -> list[np.ndarray]:
    """Compute the features of the generated images with every extractor, batch by batch."""
    rows = [FeatureRows(extractor.network.dim) for extractor in setting.extractors]
    evaluation = setting.run.evaluation
    for batch in generate(network, setting.n_fake, evaluation.batch_size, evaluation.latent_seed, purpose):
        for own, extractor in zip(rows, setting.extractors, strict=True):
            own.add(features_of(extractor.network, extractor.prepare_fake(batch)))
    return [own.all() for own in rows]


def _score(
    setting: Setting, network: nn.Module, weights: str, extra: tuple[str, ...] = (), model_sha256: str | None = None
) -> list[np.ndarray]:
    """Score a generator with every extractor, and return the features of its images."""
    clock = Clock()
    fakes = _features(setting, network) if setting.extractors else []
    for extractor, real, fake in zip(setting.extractors, setting.real, fakes, strict=True):
        subject = Subject(weights, (*setting.sampling(extractor), *extra), model_sha256)
        _compare(setting, subject, extractor, (real, fake), clock)
    return fakes


def _compare(
    setting: Setting, subject: Subject, extractor: MetricExtractor, pair: tuple[np.ndarray, np.ndarray], clock: Clock
) -> None:
    """Write all planned metrics of one extractor. Controls get only the metrics in CONTROLLED."""
    wanted, control = set(setting.run.evaluation.metrics), subject.weights.startswith("control")
    if control:
        wanted &= {extractor.metrics[family] for family in CONTROLLED if family in extractor.metrics}
    sets = (f"px{setting.images.shape[-1]}", *subject.parts)
    numbers, refused = compare_features(extractor, *pair, wanted, sets)
    if subject.weights == "last":
        for metric, reason in refused.items():
            setting.scores.fail(reason, among=(metric,))
    for number in numbers:
        measured = number if control else with_curve(number, *pair)
        setting.scores.add(replace(measured, seconds=clock.seconds), subject.weights, subject.model_sha256)


def _score_best(setting: Setting, run_dir: Path) -> None:
    """Score the snapshot with the smallest Fréchet distance on separate latents, if the run has snapshots."""
    snapshots = sorted((run_dir / SNAPSHOTS).glob("*.safetensors"))
    judges = {e.metrics["frechet"]: index for index, e in enumerate(setting.extractors)}
    judge = next((metric for metric in FRECHET if metric in judges), None)
    if not snapshots or judge is None or len(setting.images) < 2:
        return
    index = judges[judge]
    alone = replace(setting, extractors=[setting.extractors[index]], real=[setting.real[index]])
    distances = {}
    for path in snapshots:
        network = load_weights(path).to(setting.scores.device)
        distances[path] = frechet_distance(alone.real[0], _features(alone, network, "selection")[0])
    best = min(snapshots, key=lambda path: distances[path])
    part = f"best-of-{len(snapshots)}-by-{judge}-own-latents"
    _score(setting, load_weights(best).to(setting.scores.device), "best", (part,), sha256_file(best))


def _controls(setting: Setting) -> None:
    """Score the controls without a network: white images, and one half of the real images compared with the other."""
    for extractor, real in zip(setting.extractors, setting.real, strict=True):
        clock = Clock()
        white = extractor.prepare_fake(torch.full_like(setting.images[:1], 255))
        constant = np.repeat(features_of(extractor.network, white), setting.n_fake, axis=0)
        subject = Subject("control-white", (setting.reals, f"white{setting.n_fake}"))
        _compare(setting, subject, extractor, (real, constant), clock)
        if len(real) >= 2 * MIN_IMAGES_PER_HALF:
            order = np.random.default_rng(0).permutation(len(real))
            halves = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
            subject = Subject("control-halves", (f"halves{len(halves[0])}-{len(halves[1])}",))
            _compare(setting, subject, extractor, halves, Clock())


def _lpips_diversity(setting: Setting, network: nn.Module) -> None:
    """Score the mean LPIPS over all pairs of the first LPIPS_SAMPLES samples."""
    if not setting.scores.wants("lpips_diversity"):
        return
    if not lpips_is_here():
        setting.scores.fail(ABSENT, among=("lpips_diversity",))
        return
    clock, evaluation = Clock(), setting.run.evaluation
    images = torch.cat(list(generate(network, LPIPS_SAMPLES, evaluation.batch_size, evaluation.latent_seed)))
    value = mean_pairwise_lpips(images, setting.scores.device)
    parts = ("vgg16-v0.1", f"px{images.shape[-1]}", f"samples{LPIPS_SAMPLES}", *setting.drawn)
    setting.scores.add(Measurement("lpips_diversity", value, parts, n=len(images), seconds=clock.seconds))


@torch.inference_mode()
def mean_pairwise_lpips(images: Tensor, device: torch.device) -> float:
    distance = load_lpips().to(device)
    scaled = to_signed(images.to(device))
    first, second = torch.triu_indices(len(scaled), len(scaled), 1).unbind()
    parts = [distance(scaled[i], scaled[j]) for i, j in zip(first.split(8), second.split(8), strict=True)]
    return torch.cat(parts).double().mean().item()


def _neighbours(setting: Setting, network: nn.Module, fakes: Iterable[np.ndarray]) -> None:
    """Write an image grid of the samples closest to the training set, each with its nearest training image."""
    for extractor, real, fake in zip(setting.extractors, setting.real, fakes, strict=True):
        if not setting.scores.wants(extractor.metrics.get("memorisation", "")):
            continue
        numbers, _ = compare_features(extractor, real, fake, {extractor.metrics["memorisation"]})
        if not numbers:
            continue
        closest = numbers[0].details["closest"]
        evaluation = setting.run.evaluation
        indices = [entry["sample"] for entry in closest]
        samples = pick(network, indices, setting.n_fake, evaluation.batch_size, evaluation.latent_seed)
        training = setting.images[[entry["training"] for entry in closest]]
        save_neighbours(setting.scores.out / NEIGHBOURS, samples, training)


def _attention(setting: Setting, network: nn.Module) -> None:
    """Record the gates for the first of the scored samples, unless no samples are scored."""
    if not setting.extractors:
        return
    evaluation = setting.run.evaluation
    with recorded_gates(network) as records:
        images = next(generate(network, ATTENTION_SAMPLES, evaluation.batch_size, evaluation.latent_seed))
    save_attention(setting.scores.out / ATTENTION, images, records)
