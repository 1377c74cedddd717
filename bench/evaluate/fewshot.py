"""Scores few-shot runs by the distances between generated images and all training images in feature space.

The scored weights are `last` (the export), `best` (the best snapshot, if the run has snapshots) and `untrained` (the
network of the same seed before training). The latents for selecting the best snapshot differ from the latents of the
reported scores. Two controls need no network: a constant white image, and one half of the training images compared with
the other half.
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
from bench.evaluate.extractors import FRECHET, MetricExtractor, add_curve, compare_features, open_extractors
from bench.evaluate.measurement import Clock, Measurement
from bench.evaluate.neighbours import save_neighbours
from bench.evaluate.writer import NEIGHBOURS, ScoreFolder
from bench.export import create_seeded, fold, load_export, load_weights
from bench.files import sha256_file
from bench.metrics.cache import cached_features
from bench.metrics.checks import check_count
from bench.metrics.features import FeatureRows, chunks, features_of
from bench.metrics.frechet import frechet_distance
from bench.metrics.lpips import MISSING_WEIGHTS, has_lpips_weights, load_lpips
from bench.networks import GeneratorNetwork
from bench.run import FewShotRecipe, Run
from bench.runtime.images import to_signed
from bench.sampling import generate, generate_at

SNAPSHOTS = "snapshots"
LPIPS_SAMPLES = 40
ATTENTION_SAMPLES = 6
REAL_BATCH = 16
CONTROL_FAMILIES = ("frechet", "kid")
MIN_IMAGES_PER_HALF = 3


@dataclass(frozen=True)
class ScoringContext:
    """Inputs that all scores of one run share. `real`: features of the training images, one array per extractor."""

    run: Run
    scores: ScoreFolder
    images: Tensor
    extractors: list[MetricExtractor]
    real: list[np.ndarray]

    @property
    def n_fake(self) -> int:
        return self.run.evaluation.n_fake or 5000

    def protocol_parts(self, extractor: MetricExtractor) -> tuple[str, ...]:
        """Return the protocol parts of the image sets: all training images, and the sampling of generated images."""
        saved = (extractor.fake_part,) if extractor.fake_part else ()
        return (self.real_part, f"fake{self.n_fake}", *saved, *self.sampling_parts)

    @property
    def sampling_parts(self) -> tuple[str, ...]:
        """Return the protocol parts of the EMA weights and of the batch-norm mode used for generating images."""
        recipe = self.run.recipe
        assert isinstance(recipe, FewShotRecipe)
        ema = f"ema{recipe.ema_decay:g}" + ("-warmup" if recipe.ema_warmup else "")
        return ema, f"bn-train-b{self.run.evaluation.batch_size}"

    @property
    def real_part(self) -> str:
        return f"real{len(self.images)}-all"


@dataclass(frozen=True)
class ScoredWeights:
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
    context = ScoringContext(run, scores, images, extractors, real)
    network = cast(GeneratorNetwork, load_export(run_dir)[0].to(scores.device))
    fake = _score(context, network, "last")
    _score_best(context, run_dir)
    _score(context, fold(create_seeded(run.model.model_dump(), run.seed)).to(scores.device), "untrained")
    _controls(context)
    _lpips_diversity(context, network)
    z = torch.zeros(1, network.latent_dim, device=scores.device)
    with torch.no_grad():
        measure_cost(scores, network, lambda: network(z), f"px{images.shape[-1]}")
    _neighbours(context, network, fake)
    _attention(context, network)


def _features(context: ScoringContext, network: nn.Module, purpose: str = "latents") -> list[np.ndarray]:
    """Compute the features of the generated images with every extractor, batch by batch."""
    rows = [FeatureRows(extractor.network.dim) for extractor in context.extractors]
    evaluation = context.run.evaluation
    for batch in generate(network, context.n_fake, evaluation.batch_size, evaluation.latent_seed, purpose):
        for row, extractor in zip(rows, context.extractors, strict=True):
            row.add(features_of(extractor.network, extractor.prepare_fake(batch)))
    return [row.all() for row in rows]


def _score(
    context: ScoringContext,
    network: nn.Module,
    weights: str,
    extra: tuple[str, ...] = (),
    model_sha256: str | None = None,
) -> list[np.ndarray]:
    """Score a generator with every extractor, and return the features of the generated images."""
    clock = Clock()
    fakes = _features(context, network) if context.extractors else []
    for extractor, real, fake in zip(context.extractors, context.real, fakes, strict=True):
        scored = ScoredWeights(weights, (*context.protocol_parts(extractor), *extra), model_sha256)
        _compare(context, scored, extractor, (real, fake), clock)
    return fakes


def _compare(
    context: ScoringContext,
    scored: ScoredWeights,
    extractor: MetricExtractor,
    pair: tuple[np.ndarray, np.ndarray],
    clock: Clock,
) -> None:
    """Write the planned scores of one extractor. Controls are scored with the metrics of CONTROL_FAMILIES only."""
    wanted, control = set(context.run.evaluation.metrics), scored.weights.startswith("control")
    if control:
        wanted &= {extractor.metrics[family] for family in CONTROL_FAMILIES if family in extractor.metrics}
    sets = (f"px{context.images.shape[-1]}", *scored.parts)
    measurements, undefined = compare_features(extractor, *pair, wanted, sets)
    if scored.weights == "last":
        for metric, reason in undefined.items():
            context.scores.fail(reason, metrics=(metric,))
    for measurement in measurements:
        measured = measurement if control else add_curve(measurement, *pair)
        context.scores.add(replace(measured, seconds=clock.seconds), scored.weights, scored.model_sha256)


def _score_best(context: ScoringContext, run_dir: Path) -> None:
    """Score the snapshot with the smallest Fréchet distance on separate latents, if the run has snapshots."""
    snapshots = sorted((run_dir / SNAPSHOTS).glob("*.safetensors"))
    index_by_metric = {e.metrics["frechet"]: index for index, e in enumerate(context.extractors)}
    metric = next((metric for metric in FRECHET if metric in index_by_metric), None)
    if not snapshots or metric is None or len(context.images) < 2:
        return
    index = index_by_metric[metric]
    one_extractor = replace(context, extractors=[context.extractors[index]], real=[context.real[index]])
    distances = {}
    for path in snapshots:
        network = load_weights(path).to(context.scores.device)
        distances[path] = frechet_distance(one_extractor.real[0], _features(one_extractor, network, "selection")[0])
    best = min(snapshots, key=lambda path: distances[path])
    part = f"best-of-{len(snapshots)}-by-{metric}-own-latents"
    _score(context, load_weights(best).to(context.scores.device), "best", (part,), sha256_file(best))


def _controls(context: ScoringContext) -> None:
    """Score the two controls: white images, and one half of the training images compared with the other half."""
    for extractor, real in zip(context.extractors, context.real, strict=True):
        clock = Clock()
        white = extractor.prepare_fake(torch.full_like(context.images[:1], 255))
        constant = np.repeat(features_of(extractor.network, white), context.n_fake, axis=0)
        scored = ScoredWeights("control-white", (context.real_part, f"white{context.n_fake}"))
        _compare(context, scored, extractor, (real, constant), clock)
        if len(real) >= 2 * MIN_IMAGES_PER_HALF:
            order = np.random.default_rng(0).permutation(len(real))
            halves = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
            scored = ScoredWeights("control-halves", (f"halves{len(halves[0])}-{len(halves[1])}",))
            _compare(context, scored, extractor, halves, Clock())


def _lpips_diversity(context: ScoringContext, network: nn.Module) -> None:
    """Score the mean LPIPS over all pairs of the first LPIPS_SAMPLES samples."""
    if not context.scores.is_planned("lpips_diversity"):
        return
    if not has_lpips_weights():
        context.scores.fail(MISSING_WEIGHTS, metrics=("lpips_diversity",))
        return
    clock, evaluation = Clock(), context.run.evaluation
    images = torch.cat(list(generate(network, LPIPS_SAMPLES, evaluation.batch_size, evaluation.latent_seed)))
    value = mean_pairwise_lpips(images, context.scores.device)
    parts = ("vgg16-v0.1", f"px{images.shape[-1]}", f"samples{LPIPS_SAMPLES}", *context.sampling_parts)
    context.scores.add(Measurement("lpips_diversity", value, parts, n=len(images), seconds=clock.seconds))


@torch.inference_mode()
def mean_pairwise_lpips(images: Tensor, device: torch.device) -> float:
    distance = load_lpips().to(device)
    scaled = to_signed(images.to(device))
    first, second = torch.triu_indices(len(scaled), len(scaled), 1).unbind()
    parts = [distance(scaled[i], scaled[j]) for i, j in zip(first.split(8), second.split(8), strict=True)]
    return torch.cat(parts).double().mean().item()


def _neighbours(context: ScoringContext, network: nn.Module, fakes: Iterable[np.ndarray]) -> None:
    """Write an image grid of the samples closest to the training set, each with its nearest training image."""
    for extractor, real, fake in zip(context.extractors, context.real, fakes, strict=True):
        if not context.scores.is_planned(extractor.metrics.get("memorisation", "")):
            continue
        measurements, _ = compare_features(extractor, real, fake, {extractor.metrics["memorisation"]})
        if not measurements:
            continue
        closest = measurements[0].details["closest"]
        evaluation = context.run.evaluation
        indices = [entry["sample"] for entry in closest]
        samples = generate_at(network, indices, context.n_fake, evaluation.batch_size, evaluation.latent_seed)
        training = context.images[[entry["training"] for entry in closest]]
        save_neighbours(context.scores.out / NEIGHBOURS, samples, training)


def _attention(context: ScoringContext, network: nn.Module) -> None:
    """Record the gates for the first ATTENTION_SAMPLES of the scored samples, if samples are scored."""
    if not context.extractors:
        return
    evaluation = context.run.evaluation
    with recorded_gates(network) as records:
        images = next(generate(network, ATTENTION_SAMPLES, evaluation.batch_size, evaluation.latent_seed))
    save_attention(context.scores.out / ATTENTION, images, records)
